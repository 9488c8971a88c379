// A table file as sstable/format.h lays it out: every block in file order with what is in it, then the footer.
#include <algorithm>
#include <array>
#include <vector>

#include "sstable/attribute_index.h"
#include "sstable/event_block.h"
#include "sstable/filter.h"
#include "sstable/format.h"
#include "sstable/key_block.h"
#include "sstable/sorted_block.h"
#include "sstable/table_reader.h"
#include "tools/dump/dump.h"

namespace hdb::dump {
namespace {

using sstable::Attribute;
using sstable::BlockHandle;
using sstable::BlockKind;

constexpr std::uint64_t kCacheBytes = 4u << 20;

std::string_view attribute_name(std::uint8_t attribute) {
  constexpr std::array<std::string_view, sstable::kAttributes> kNames = {"type", "entity", "host", "tag", "caller id"};
  return attribute >= 1 && attribute <= kNames.size() ? kNames[attribute - 1u] : "unknown";
}

// Describes varints and byte runs of a block that decodes, one after the other.
class Walk {
 public:
  Walk(Annotator& out, ByteView bytes) : out_(out), bytes_(bytes), cursor_(bytes) {}

  Result<std::uint64_t> number(std::string_view name) {
    const std::uint64_t value = HDB_TRY(cursor_.varint());
    out_.number(taken(), name, value);
    return value;
  }
  Status handle(const std::string& name) {
    HDB_TRY(number(name + " offset"));
    HDB_TRY(number(name + " bytes"));
    return {};
  }
  Status optional_handle(const std::string& name) {
    const auto is_present = HDB_TRY(cursor_.fixed<std::uint8_t>());
    out_.number(taken(), "has " + name, is_present);
    return is_present != 0 ? handle(name) : Status();
  }
  Status time(std::string_view name) {
    const auto value = HDB_TRY(cursor_.fixed<std::int64_t>());
    out_.time(taken(), name, Timestamp(std::chrono::nanoseconds(value)));
    return {};
  }
  Result<std::uint8_t> byte(std::string_view name) {
    const auto value = HDB_TRY(cursor_.fixed<std::uint8_t>());
    out_.number(taken(), name, value);
    return value;
  }
  Result<ByteView> text(std::uint64_t bytes, std::string_view name) {
    const ByteView value = HDB_TRY(cursor_.bytes(static_cast<std::size_t>(bytes)));
    out_.text(taken(), name, as_text(value));
    return value;
  }
  Status sized_text(const std::string& name) {
    const std::uint64_t bytes = HDB_TRY(number(name + " size"));
    HDB_TRY(text(bytes, name));
    return {};
  }
  void data(std::size_t bytes, std::string_view name) {
    out_.data(cursor_.rest().first(bytes), name);
    ignore(cursor_.bytes(bytes).status(), "first() took as many");
    begin_ = cursor_.offset();
  }
  std::size_t offset() const { return cursor_.offset(); }
  bool at_end() const { return cursor_.at_end(); }

 private:
  ByteView taken() {
    const ByteView bytes = bytes_.subspan(begin_, cursor_.offset() - begin_);
    begin_ = cursor_.offset();
    return bytes;
  }

  Annotator& out_;
  ByteView bytes_;
  Cursor cursor_;
  std::size_t begin_ = 0;
};

struct Place {
  BlockHandle handle;
  BlockKind kind;
  Position first_position = 0;  // of event data
};

// One dump of one table. Single-owner.
class TableDump {
 public:
  TableDump(const sstable::TableReader& reader, const DumpOptions& options, const Sink& sink)
      : reader_(reader), out_(options.form, sink) {}

  Status run() {
    collect();
    std::sort(places_.begin(), places_.end(),
              [](const Place& a, const Place& b) { return a.handle.offset < b.handle.offset; });
    for (const Place& place : places_) keep_first(show_block(place));
    keep_first(show_footer());
    out_.finish();
    return first_error_;
  }

 private:
  void keep_first(const Status& status) {
    if (status.ok()) return;
    out_.note("damage", status.message());
    if (first_error_.ok()) first_error_ = status;
  }

  // Finds the blocks through the indexes. Damage to an index is shown when the index is.
  void collect() {
    const sstable::Properties& properties = reader_.properties();
    places_.push_back({reader_.footer().properties, BlockKind::kProperties});
    if (properties.filter) places_.push_back({*properties.filter, BlockKind::kFilter});
    if (reader_.footer().kind == sstable::TableKind::kKeys) {
      places_.push_back({properties.index, BlockKind::kKeyIndex});
      ignore(collect_key_data(), "show_block() of the index reports it");
      return;
    }
    places_.push_back({properties.index, BlockKind::kEventIndex});
    ignore(collect_event_data(), "show_block() of the index reports it");
    if (!properties.dictionary_index) return;
    places_.push_back({*properties.dictionary_index, BlockKind::kDictionaryIndex});
    ignore(collect_dictionaries(), "show_block() of the index reports it");
  }

  Status collect_key_data() {
    Buffer raw = HDB_TRY(reader_.read(reader_.properties().index, BlockKind::kKeyIndex));
    const auto index = HDB_TRY(sstable::SortedBlock::decode(std::move(raw), &sstable::check_key_index));
    sstable::SortedBlock::Cursor cursor(index);
    for (bool more = cursor.first(); more; more = cursor.next()) {
      places_.push_back({sstable::handle_of(cursor.value()), BlockKind::kKeyData});
    }
    return {};
  }

  Status collect_event_data() {
    const Buffer raw = HDB_TRY(reader_.read(reader_.properties().index, BlockKind::kEventIndex));
    for (const auto& block : HDB_TRY(sstable::decode_event_index(bytes_of(raw), reader_.properties().entry_count,
                                                                 reader_.properties().index.offset))) {
      places_.push_back({block.handle, BlockKind::kEventData, reader_.properties().position_begin + block.first});
    }
    return {};
  }

  // A damaged dictionary block hides its postings blocks, not those of the others.
  Status collect_dictionaries() {
    Buffer raw = HDB_TRY(reader_.read(*reader_.properties().dictionary_index, BlockKind::kDictionaryIndex));
    const auto index = HDB_TRY(sstable::SortedBlock::decode(std::move(raw), &sstable::check_dictionary_index));
    sstable::SortedBlock::Cursor cursor(index);
    for (bool more = cursor.first(); more; more = cursor.next()) {
      Cursor value(cursor.value());
      const BlockHandle handle = HDB_TRY(sstable::decode_handle(value));
      places_.push_back({handle, BlockKind::kDictionary});
      ignore(collect_postings(handle), "show_block() of the dictionary block reports it");
    }
    return {};
  }

  Status collect_postings(BlockHandle dictionary) {
    Buffer raw = HDB_TRY(reader_.read(dictionary, BlockKind::kDictionary));
    const auto block = HDB_TRY(sstable::SortedBlock::decode(std::move(raw), &sstable::check_dictionary));
    sstable::SortedBlock::Cursor cursor(block);
    for (bool more = cursor.first(); more; more = cursor.next()) {
      if (static_cast<sstable::PostingsPlace>(cursor.value()[0]) != sstable::PostingsPlace::kBlock) continue;
      Cursor value(cursor.value().subspan(1));
      places_.push_back({HDB_TRY(sstable::decode_handle(value)), BlockKind::kPostings});
    }
    return {};
  }

  Status show_block(const Place& place) {
    const std::string name(sstable::block_kind_name(place.kind));
    out_.object(name + " block", place.handle.offset);
    const Buffer stored = HDB_TRY(reader_.read_stored(place.handle, place.kind));
    const ByteView bytes = bytes_of(stored);
    const ByteView trailer = bytes.subspan(place.handle.bytes);
    out_.data(bytes.first(place.handle.bytes), "stored bytes");
    out_.number(trailer.subspan(0, 4), "raw bytes");
    out_.number(trailer.subspan(4, 1), "compression");
    out_.number(trailer.subspan(5, 1), "kind");
    out_.data(trailer.subspan(6, 2), "reserved");
    out_.hexadecimal(trailer.subspan(8, 8), "checksum", load<std::uint64_t>(trailer.data() + 8));
    const Buffer raw = HDB_TRY(reader_.read(place.handle, place.kind));
    const Status status = show_content(place, raw);
    return status.ok() ? status : reader_.located(place.handle.offset, status);
  }

  Status show_content(const Place& place, const Buffer& raw) {
    const BlockKind kind = place.kind;
    switch (kind) {
      case BlockKind::kKeyData:
        return show_sorted(kind, raw, &sstable::check_key_data);
      case BlockKind::kKeyIndex:
        return show_sorted(kind, raw, &sstable::check_key_index);
      case BlockKind::kDictionary:
        return show_sorted(kind, raw, &sstable::check_dictionary);
      case BlockKind::kDictionaryIndex:
        return show_sorted(kind, raw, &sstable::check_dictionary_index);
      case BlockKind::kEventData:
        return show_events(raw, place.first_position);
      case BlockKind::kEventIndex:
        return show_event_index(raw);
      case BlockKind::kFilter:
        return show_filter(raw);
      case BlockKind::kPostings:
        return show_postings(raw);
      case BlockKind::kProperties:
        return show_properties(raw);
    }
    return {};
  }

  Status show_sorted(BlockKind kind, const Buffer& raw, sstable::SortedBlock::CheckValue check) {
    const auto block = HDB_TRY(sstable::SortedBlock::decode(raw, check));
    const ByteView entries = block.bytes().first(block.entries_end());
    sstable::SortedBlock::Cursor cursor(block);
    Walk walk(out_, entries);
    for (bool more = cursor.first(); more; more = cursor.next()) {
      out_.object(std::string(sstable::block_kind_name(kind)) + " entry", walk.offset());
      HDB_TRY(walk.number("shared"));
      const std::uint64_t unshared = HDB_TRY(walk.number("unshared"));
      const std::uint64_t value_bytes = HDB_TRY(walk.number("value size"));
      HDB_TRY(walk.text(unshared, "key end"));
      show_key(kind, cursor.key());
      HDB_TRY(show_value(kind, walk, walk.offset() + static_cast<std::size_t>(value_bytes), cursor.value()));
    }
    out_.object("restart points", block.entries_end());
    for (std::uint32_t restart = 0; restart < block.restart_count(); ++restart) {
      out_.number(block.bytes().subspan(block.entries_end() + std::size_t{restart} * 4, 4),
                  "restart " + std::to_string(restart));
    }
    out_.number(block.bytes().last(4), "restart points");
    return {};
  }

  void show_key(BlockKind kind, ByteView key) {
    const bool is_dictionary = kind == BlockKind::kDictionary || kind == BlockKind::kDictionaryIndex;
    if (!is_dictionary && key.size() >= kKeyspacePrefixBytes) {
      out_.note("keyspace", load_be32(key.data()));
      out_.text({}, "key", as_text(key.subspan(kKeyspacePrefixBytes)));
    } else if (is_dictionary && !key.empty()) {
      out_.note("attribute", attribute_name(static_cast<std::uint8_t>(key[0])));
      out_.text({}, "term", as_text(key.subspan(1)));
    }
  }

  Status show_value(BlockKind kind, Walk& walk, std::size_t end, ByteView value) {
    if (kind == BlockKind::kKeyData || kind == BlockKind::kKeyIndex) {
      HDB_TRY(walk.number("tag"));
      out_.note("sequence", sstable::sequence_of(value).raw());
    }
    if (kind == BlockKind::kKeyData) {
      out_.note("entry", sstable::entry_of({}, value).kind == EntryKind::kErase ? "erase" : "put");
      HDB_TRY(walk.text(end - walk.offset(), "value"));
      return {};
    }
    if (kind == BlockKind::kDictionary) {
      const std::uint8_t place = HDB_TRY(walk.byte("postings place"));
      if (static_cast<sstable::PostingsPlace>(place) == sstable::PostingsPlace::kInline) {
        const auto positions = HDB_TRY(PositionSet::decode(value.subspan(1)));
        walk.data(end - walk.offset(), "positions");
        out_.note("cardinality", positions.cardinality());
        return {};
      }
    }
    return walk.handle("block");
  }

  Status show_events(const Buffer& raw, Position first_position) {
    const auto block = HDB_TRY(sstable::EventBlock::decode(raw));
    for (std::uint32_t row = 0; row < block.count(); ++row) {
      out_.object("record", block.record_offset(row));
      out_.note("position", first_position + row);
      out_.note("commit time", rfc3339(block.commit_time(row)));
      annotate_record(out_, block.record(row));
    }
    const ByteView tail = block.bytes().subspan(block.records_end());
    out_.object("commit times", block.records_end());
    for (std::size_t at = 0; at + 8 < tail.size(); at += 12) {
      const std::string run = "run " + std::to_string(at / 12);
      out_.number(tail.subspan(at, 4), run + " records");
      out_.time(tail.subspan(at + 4, 8), run + " commit time",
                Timestamp(std::chrono::nanoseconds(load<std::int64_t>(tail.data() + at + 4))));
    }
    out_.number(tail.last(8).first(4), "records");
    out_.number(tail.last(4), "runs");
    return {};
  }

  Status show_event_index(const Buffer& raw) {
    const auto blocks = HDB_TRY(sstable::decode_event_index(bytes_of(raw), reader_.properties().entry_count,
                                                            reader_.properties().index.offset));
    Walk walk(out_, bytes_of(raw));
    for (const sstable::EventBlockEntry& block : blocks) {
      out_.object("event index entry", walk.offset());
      HDB_TRY(walk.number("records"));
      HDB_TRY(walk.number("stored bytes"));
      HDB_TRY(walk.number("time difference"));
      HDB_TRY(walk.number("commit time difference"));
      HDB_TRY(walk.number("time span"));
      HDB_TRY(walk.number("commit time span"));
      out_.note("block offset", block.handle.offset);
      out_.note("position", reader_.properties().position_begin + block.first);
      out_.note("time min", rfc3339(block.time_min));
      out_.note("time max", rfc3339(block.time_max));
      out_.note("commit time min", rfc3339(block.commit_time_min));
      out_.note("commit time max", rfc3339(block.commit_time_max));
    }
    return {};
  }

  Status show_filter(const Buffer& raw) {
    HDB_TRY(sstable::Filter::decode(bytes_of(raw)));
    const ByteView bytes = bytes_of(raw);
    out_.object("filter", 0);
    out_.data(bytes.first(bytes.size() - 8), "cache lines");
    out_.number(bytes.last(8).first(4), "probes");
    out_.data(bytes.last(4), "reserved");
    return {};
  }

  Status show_postings(const Buffer& raw) {
    const auto positions = HDB_TRY(PositionSet::decode(bytes_of(raw)));
    out_.object("postings", 0);
    out_.data(bytes_of(raw), "positions");
    out_.note("cardinality", positions.cardinality());
    return {};
  }

  Status show_properties(const Buffer& raw) {
    out_.object("properties", 0);
    Walk walk(out_, bytes_of(raw));
    HDB_TRY(walk.number("entry count"));
    HDB_TRY(walk.number("block count"));
    HDB_TRY(walk.number("raw bytes"));
    HDB_TRY(walk.handle("index"));
    HDB_TRY(walk.optional_handle("filter"));
    if (reader_.footer().kind == sstable::TableKind::kKeys) {
      HDB_TRY(walk.number("sequence min"));
      HDB_TRY(walk.number("sequence max"));
      HDB_TRY(walk.sized_text("smallest key"));
      return walk.sized_text("largest key");
    }
    HDB_TRY(walk.number("position begin"));
    for (const char* name : {"time min", "time max", "commit time min", "commit time max"}) HDB_TRY(walk.time(name));
    HDB_TRY(walk.optional_handle("dictionary index"));
    for (std::uint8_t attribute = 1; attribute <= sstable::kAttributes; ++attribute) {
      const std::string name(attribute_name(attribute));
      HDB_TRY(walk.byte(name + " form"));
      HDB_TRY(walk.byte(name + " fingerprint bytes"));
      HDB_TRY(walk.number(name + " terms"));
      HDB_TRY(walk.number(name + " postings"));
    }
    return {};
  }

  Status show_footer() {
    const std::uint64_t offset = reader_.file().size_bytes() - sstable::kFooterBytes;
    std::array<std::byte, sstable::kFooterBytes> bytes;
    HDB_TRY(reader_.file().read(offset, bytes));
    const ByteView view(bytes);
    out_.object("footer", offset);
    out_.number(view.subspan(0, 8), "properties offset");
    out_.number(view.subspan(8, 4), "properties bytes");
    out_.number(view.subspan(12, 1), "kind");
    out_.data(view.subspan(13, 3), "reserved");
    out_.number(view.subspan(16, 8), "file number");
    out_.number(view.subspan(24, 8), "file bytes");
    out_.data(view.subspan(32, 12), "reserved 2");
    out_.number(view.subspan(44, 4), "version");
    out_.hexadecimal(view.subspan(48, 8), "checksum", load<std::uint64_t>(view.data() + 48));
    out_.text(view.subspan(56, 8), "magic", as_text(view.subspan(56, 8)));
    return {};
  }

  const sstable::TableReader& reader_;
  Annotator out_;
  std::vector<Place> places_;
  Status first_error_;
};

// The number the table says it has: dumping does not depend on the file's name.
Result<FileNumber> number_in(Env& env, const std::string& path) {
  const std::unique_ptr<RandomAccessFile> file = HDB_TRY(env.open(path));
  if (file->size_bytes() < sstable::kFooterBytes) return FileNumber(0);  // TableReader::open says why not
  const std::uint64_t offset = file->size_bytes() - sstable::kFooterBytes;
  std::array<std::byte, sstable::kFooterBytes> bytes;
  HDB_TRY(file->read(offset, bytes));
  const Result<sstable::Footer> footer = sstable::decode_footer(bytes);
  if (!footer.ok()) return footer.status().in_context(path + " at offset " + std::to_string(offset));
  return footer->number;
}

}  // namespace

Status dump_table(Env& env, const std::string& path, const DumpOptions& options, const Sink& sink) {
  sstable::BlockCache cache(kCacheBytes);
  const FileNumber number = HDB_TRY(number_in(env, path));
  const auto reader = HDB_TRY(sstable::TableReader::open(env, path, number, cache));
  return TableDump(*reader, options, sink).run();
}

}  // namespace hdb::dump
