#include "sstable/attribute_index_builder.h"

#include <algorithm>
#include <numeric>

#include "base/checksum.h"
#include "base/seeded_defect.h"
#include "sstable/attribute_index.h"
#include "sstable/filter.h"
#include "sstable/sorted_block.h"
#include "sstable/table_writer.h"

namespace hdb::sstable {

namespace {

constexpr std::uint32_t kAttributeRestartInterval = 16;
constexpr std::size_t kDictionaryBlockBytes = 16u << 10;  // a look-up decodes one
constexpr std::size_t kInlinePostingsBytes = 256;         // larger sets get a block, so as to keep dictionaries dense
constexpr std::uint64_t kFingerprintTermsMin = 1024;
constexpr std::uint64_t kFingerprintPostingsPerTerm = 4;

// The dictionary, written block by block.
class DictionaryWriter {
 public:
  DictionaryWriter(TableWriter& writer, const TableSettings& settings)
      : writer_(writer), settings_(settings), block_(kAttributeRestartInterval), index_(1) {}

  Status add(Attribute attribute, ByteView key, const PositionSet& positions) {
    key_.clear();
    append_fixed(key_, attribute);
    append(key_, key);
    encoded_.clear();
    append_fixed(encoded_, PostingsPlace::kInline);
    positions.encode(encoded_);
    if (encoded_.size() > kInlinePostingsBytes) {
      const BlockHandle handle = HDB_TRY(writer_.add(BlockKind::kPostings, bytes_of(encoded_).subspan(1), settings_));
      encoded_.clear();
      append_fixed(encoded_, PostingsPlace::kBlock);
      append_handle(encoded_, handle);
    }
    block_.add(bytes_of(key_), bytes_of(encoded_));
    return block_.bytes() >= kDictionaryBlockBytes ? finish_block() : Status();
  }

  Result<std::optional<BlockHandle>> finish() {
    if (!block_.empty()) HDB_TRY(finish_block());
    if (index_.empty()) return std::optional<BlockHandle>();
    return std::optional<BlockHandle>(HDB_TRY(writer_.add_uncompressed(BlockKind::kDictionaryIndex, index_.finish())));
  }

 private:
  Status finish_block() {
    const BlockHandle handle = HDB_TRY(writer_.add(BlockKind::kDictionary, block_.finish(), settings_));
    encoded_.clear();
    append_handle(encoded_, handle);
    index_.add(bytes_of(key_), bytes_of(encoded_));
    block_.reset();
    return {};
  }

  TableWriter& writer_;
  const TableSettings& settings_;
  BlockBuilder block_;
  BlockBuilder index_;
  Buffer key_;
  Buffer encoded_;
};

}  // namespace

void TermTable::add(std::string_view term, std::uint32_t position) {
  const bool is_previous = previous_ != UINT32_MAX && text_of(terms_[previous_]) == term;
  const std::uint32_t index = is_previous ? previous_ : find_or_add(term);
  previous_ = index;
  Term& found = terms_[index];
  if (found.postings > 0 && found.last_position == position) return;  // an event may repeat a tag
  if (HDB_SEEDED(lose_an_index_entry) && position % 97 == 13) return;
  found.last_position = position;
  ++found.postings;
  pairs_.push_back({index, position});
}

std::uint32_t TermTable::find_or_add(std::string_view term) {
  if ((terms_.size() + 1) * 2 > slots_.size()) grow();
  const std::uint64_t hash = hash64(as_bytes(term));
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = hash & mask;
  while (slots_[slot] != 0) {
    const Term& other = terms_[slots_[slot] - 1];
    if (other.hash == hash && text_of(other) == term) return slots_[slot] - 1;
    slot = (slot + 1) & mask;
  }
  terms_.push_back({hash, text_.size(), static_cast<std::uint32_t>(term.size()), 0, 0});
  text_.insert(text_.end(), term.begin(), term.end());
  slots_[slot] = static_cast<std::uint32_t>(terms_.size());
  return slots_[slot] - 1;
}

void TermTable::grow() {
  HDB_CHECK(terms_.size() < UINT32_MAX / 2);
  slots_.assign(std::max<std::size_t>(slots_.size() * 2, 64), 0);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t term = 0; term < terms_.size(); ++term) {
    std::size_t slot = terms_[term].hash & mask;
    while (slots_[slot] != 0) slot = (slot + 1) & mask;
    slots_[slot] = static_cast<std::uint32_t>(term + 1);
  }
}

std::vector<std::uint64_t> TermTable::hashes() const {
  std::vector<std::uint64_t> hashes;
  hashes.reserve(terms_.size());
  for (const Term& term : terms_) hashes.push_back(term.hash);
  return hashes;
}

Status TermTable::for_each(TermForm form, std::uint8_t fingerprint_bytes,
                           const std::function<Status(ByteView, const PositionSet&)>& visit) const {
  std::vector<std::uint32_t> order(terms_.size());
  std::iota(order.begin(), order.end(), 0u);
  if (form == TermForm::kText) {
    std::sort(order.begin(), order.end(),
              [this](std::uint32_t a, std::uint32_t b) { return text_of(terms_[a]) < text_of(terms_[b]); });
  } else {
    std::sort(order.begin(), order.end(),
              [this](std::uint32_t a, std::uint32_t b) { return terms_[a].hash < terms_[b].hash; });
  }

  // Positions by term: a counting sort of the pairs.
  std::vector<std::uint64_t> ends(terms_.size() + 1, 0);
  for (std::size_t term = 0; term < terms_.size(); ++term) ends[term + 1] = ends[term] + terms_[term].postings;
  std::vector<std::uint32_t> positions(pairs_.size());
  for (const Pair& pair : pairs_) positions[ends[pair.term]++] = pair.position;
  const auto positions_of = [&](std::uint32_t term) {
    const std::uint64_t begin = ends[term] - terms_[term].postings;
    return std::span<const std::uint32_t>(positions).subspan(begin, terms_[term].postings);
  };

  const unsigned dropped_bits = 64 - 8u * fingerprint_bytes;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const Term& term = terms_[order[i]];
    PositionSet set = PositionSet::of(positions_of(order[i]));
    if (form == TermForm::kText) {
      HDB_TRY(visit(as_bytes(text_of(term)), set));
      continue;
    }
    const std::uint64_t fingerprint = term.hash >> dropped_bits;
    while (i + 1 < order.size() && terms_[order[i + 1]].hash >> dropped_bits == fingerprint) {
      set |= PositionSet::of(positions_of(order[++i]));
    }
    HDB_TRY(visit(bytes_of(fingerprint_of(term.hash, fingerprint_bytes)), set));
  }
  return {};
}

std::uint8_t fingerprint_bytes_for(std::vector<std::uint64_t> hashes) {
  std::sort(hashes.begin(), hashes.end());
  std::uint8_t bytes = 4;
  for (std::size_t i = 1; i < hashes.size(); ++i) {
    while (bytes < 8 && hashes[i - 1] >> (64 - 8 * bytes) == hashes[i] >> (64 - 8 * bytes)) ++bytes;
  }
  return bytes;
}

Buffer fingerprint_of(std::uint64_t hash, std::uint8_t bytes) {
  Buffer fingerprint;
  append_fixed(fingerprint, __builtin_bswap64(hash));
  fingerprint.resize(bytes);
  return fingerprint;
}

void AttributeIndexBuilder::add(std::uint32_t position, const RecordView& record) {
  const auto table = [this](Attribute attribute) -> TermTable& {
    return tables_[static_cast<std::size_t>(attribute) - 1];
  };
  const auto add_text = [&](Attribute attribute, TextField field) {
    const std::string_view text = record.text(field);
    if (!text.empty()) table(attribute).add(text, position);
  };
  add_text(Attribute::kType, TextField::kType);
  add_text(Attribute::kEntity, TextField::kEntity);
  add_text(Attribute::kHost, TextField::kHost);
  record.for_each_tag([&](std::string_view tag) { table(Attribute::kTag).add(tag, position); });
  if (record.has_caller_id()) {
    const EventId id = record.id(0);
    table(Attribute::kCallerId).add(as_text(std::as_bytes(std::span(id.bytes()))), position);
  }
}

std::array<AttributeProperties, kAttributes> AttributeIndexBuilder::choose_forms() const {
  std::array<AttributeProperties, kAttributes> forms;
  for (std::size_t i = 0; i < kAttributes; ++i) {
    const TermTable& table = tables_[i];
    forms[i].terms = table.terms();
    forms[i].postings = table.postings();
    const bool is_rare = table.terms() > kFingerprintTermsMin &&
                         table.postings() < table.terms() * kFingerprintPostingsPerTerm &&
                         table.text_bytes() > table.terms() * 8;
    const bool is_id = i + 1 == static_cast<std::size_t>(Attribute::kCallerId);
    if (table.terms() == 0 || (!is_rare && !is_id)) continue;
    forms[i].form = TermForm::kFingerprint;
    forms[i].fingerprint_bytes = fingerprint_bytes_for(table.hashes());
  }
  return forms;
}

Status AttributeIndexBuilder::write(TableWriter& writer, const TableSettings& settings, Properties& properties) const {
  properties.attributes = choose_forms();
  DictionaryWriter dictionary(writer, settings);
  for (std::size_t i = 0; i < kAttributes; ++i) {
    const auto attribute = static_cast<Attribute>(i + 1);
    AttributeProperties& form = properties.attributes[i];
    form.terms = 0;  // terms of one fingerprint share an entry
    form.postings = 0;
    HDB_TRY(tables_[i].for_each(form.form, form.fingerprint_bytes, [&](ByteView key, const PositionSet& positions) {
      ++form.terms;
      form.postings += positions.cardinality();
      return dictionary.add(attribute, key, positions);
    }));
  }
  properties.dictionary_index = HDB_TRY(dictionary.finish());
  const TermTable& ids = terms(Attribute::kCallerId);
  if (ids.terms() > 0 && settings.filter_bits_per_key > 0) {
    const Buffer filter = build_filter(ids.hashes(), settings.filter_bits_per_key);
    properties.filter = HDB_TRY(writer.add_uncompressed(BlockKind::kFilter, bytes_of(filter)));
  }
  return {};
}

}  // namespace hdb::sstable
