#include "sstable/attribute_index_builder.h"

#include <algorithm>

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

  Status add(Attribute attribute, ByteView key, std::span<const std::uint32_t> positions) {
    key_.clear();
    append_fixed(key_, attribute);
    append(key_, key);
    encoded_.clear();
    append_fixed(encoded_, PostingsPlace::kInline);
    PositionSet::encode_ascending(positions, encoded_);
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

std::uint64_t TermTable::prepare(std::string_view term) const noexcept {
  const std::uint64_t hash = hash64(as_bytes(term));
  if (!slots_.empty()) __builtin_prefetch(&slots_[hash & (slots_.size() - 1)]);
  return hash;
}

void TermTable::add(std::string_view term, std::uint64_t hash, std::uint32_t position) {
  const std::uint32_t index = find_or_add(term, hash);
  Term& found = terms_[index];
  if (found.postings > 0 && found.last_position == position) return;  // an event may repeat a tag
  if (HDB_SEEDED(lose_an_index_entry) && position % 97 == 13) return;
  found.last_position = position;
  ++found.postings;
  pairs_.push_back({index, position});
}

std::string_view TermTable::text_of(const Term& term) const noexcept {
  if (term.text_bytes <= term.text.size()) return {term.text.data(), term.text_bytes};
  return {long_texts_.data() + load<std::uint64_t>(std::as_bytes(std::span(term.text)).data()), term.text_bytes};
}

std::uint32_t TermTable::find_or_add(std::string_view term, std::uint64_t hash) {
  if ((terms_.size() + 1) * 2 > slots_.size()) grow();
  const auto high_hash = static_cast<std::uint32_t>(hash >> 32);
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = hash & mask;
  for (; slots_[slot].term != 0; slot = (slot + 1) & mask) {
    if (slots_[slot].high_hash != high_hash) continue;
    const std::uint32_t index = slots_[slot].term - 1;
    if (terms_[index].hash == hash && text_of(terms_[index]) == term) return index;
  }
  const std::uint32_t index = append(term, hash);
  slots_[slot] = {index + 1, high_hash};
  return index;
}

std::uint32_t TermTable::append(std::string_view term, std::uint64_t hash) {
  Term& added = terms_.emplace_back();
  added.hash = hash;
  added.text_bytes = static_cast<std::uint32_t>(term.size());
  text_bytes_ += term.size();
  if (term.size() <= added.text.size()) {
    std::copy(term.begin(), term.end(), added.text.begin());
  } else {
    store<std::uint64_t>(std::as_writable_bytes(std::span(added.text)).data(), long_texts_.size());
    long_texts_.insert(long_texts_.end(), term.begin(), term.end());
  }
  return static_cast<std::uint32_t>(terms_.size() - 1);
}

void TermTable::grow() {
  HDB_CHECK(terms_.size() < UINT32_MAX / 2);
  slots_.assign(std::max<std::size_t>(slots_.size() * 2, 64), Slot{0, 0});
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t term = 0; term < terms_.size(); ++term) {
    const std::uint64_t hash = terms_[term].hash;
    std::size_t slot = hash & mask;
    while (slots_[slot].term != 0) slot = (slot + 1) & mask;
    slots_[slot] = {static_cast<std::uint32_t>(term + 1), static_cast<std::uint32_t>(hash >> 32)};
  }
}

std::vector<std::uint64_t> TermTable::hashes() const {
  std::vector<std::uint64_t> hashes;
  hashes.reserve(terms_.size());
  for (const Term& term : terms_) hashes.push_back(term.hash);
  return hashes;
}

// Most comparisons end in `key`: the first bytes of the text, as a number, or the hash.
struct TermTable::Ordered {
  std::array<std::uint64_t, 2> key;
  std::uint32_t term;
};

std::vector<TermTable::Ordered> TermTable::in_order(TermForm form) const {
  std::vector<Ordered> order(terms_.size());
  for (std::size_t term = 0; term < terms_.size(); ++term) {
    order[term].term = static_cast<std::uint32_t>(term);
    if (form == TermForm::kFingerprint) {
      order[term].key = {terms_[term].hash, 0};
      continue;
    }
    const std::string_view text = text_of(terms_[term]);
    std::array<std::byte, 16> first{};
    std::copy_n(as_bytes(text).begin(), std::min(text.size(), first.size()), first.begin());
    order[term].key = {__builtin_bswap64(load<std::uint64_t>(&first[0])),
                       __builtin_bswap64(load<std::uint64_t>(&first[8]))};
  }
  std::sort(order.begin(), order.end(), [&](const Ordered& a, const Ordered& b) {
    if (a.key != b.key) return a.key < b.key;
    return form == TermForm::kText && text_of(terms_[a.term]) < text_of(terms_[b.term]);
  });
  return order;
}

Status TermTable::for_each(TermForm form, std::uint8_t fingerprint_bytes,
                           const std::function<Status(ByteView, std::span<const std::uint32_t>)>& visit) const {
  // Positions by term: a counting sort of the pairs.
  std::vector<std::uint64_t> ends(terms_.size() + 1, 0);
  for (std::size_t term = 0; term < terms_.size(); ++term) ends[term + 1] = ends[term] + terms_[term].postings;
  std::vector<std::uint32_t> positions(pairs_.size());
  for (const Pair& pair : pairs_) positions[ends[pair.term]++] = pair.position;
  const auto positions_of = [&](std::uint32_t term) {
    const std::uint64_t begin = ends[term] - terms_[term].postings;
    return std::span<const std::uint32_t>(positions).subspan(begin, terms_[term].postings);
  };

  const std::vector<Ordered> order = in_order(form);
  const unsigned dropped_bits = 64 - 8u * fingerprint_bytes;
  const auto fingerprint_at = [&](std::size_t i) { return terms_[order[i].term].hash >> dropped_bits; };
  for (std::size_t i = 0; i < order.size(); ++i) {
    const Term& term = terms_[order[i].term];
    if (form == TermForm::kText) {
      HDB_TRY(visit(as_bytes(text_of(term)), positions_of(order[i].term)));
      continue;
    }
    const Buffer key = fingerprint_of(term.hash, fingerprint_bytes);
    if (i + 1 == order.size() || fingerprint_at(i) != fingerprint_at(i + 1)) {
      HDB_TRY(visit(bytes_of(key), positions_of(order[i].term)));
      continue;
    }
    std::vector<std::uint32_t> shared;
    std::size_t last = i;
    for (; last < order.size() && fingerprint_at(last) == fingerprint_at(i); ++last) {
      const auto more = positions_of(order[last].term);
      shared.insert(shared.end(), more.begin(), more.end());
    }
    i = last - 1;
    std::sort(shared.begin(), shared.end());
    shared.erase(std::unique(shared.begin(), shared.end()), shared.end());
    HDB_TRY(visit(bytes_of(key), shared));
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
  found_.clear();
  const auto find = [this](Attribute attribute, std::string_view term) {
    TermTable& table = tables_[static_cast<std::size_t>(attribute) - 1];
    found_.push_back({&table, term, table.prepare(term)});
  };
  const auto add_text = [&](Attribute attribute, TextField field) {
    const std::string_view text = record.text(field);
    if (!text.empty()) find(attribute, text);
  };
  add_text(Attribute::kType, TextField::kType);
  add_text(Attribute::kEntity, TextField::kEntity);
  add_text(Attribute::kHost, TextField::kHost);
  record.for_each_tag([&](std::string_view tag) { find(Attribute::kTag, tag); });
  const EventId id = record.has_caller_id() ? record.id(0) : EventId();  // found_ has a view of it
  if (record.has_caller_id()) find(Attribute::kCallerId, as_text(std::as_bytes(std::span(id.bytes()))));
  for (const Found& found : found_) found.table->add(found.term, found.hash, position);
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
    HDB_TRY(tables_[i].for_each(form.form, form.fingerprint_bytes,
                                [&](ByteView key, std::span<const std::uint32_t> positions) {
                                  ++form.terms;
                                  form.postings += positions.size();
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
