// tests/support/tables.h: tables of random keys and events in a folder of their own.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/record.h"
#include "sstable/block_cache.h"
#include "sstable/event_table.h"
#include "sstable/key_table.h"
#include "sstable/table_meta.h"
#include "sstable/table_settings.h"
#include "tests/support/temporary_directory.h"

namespace hdb::sstable {

inline constexpr std::uint64_t kCacheBytes = 8u << 20;  // more than any test's tables take

// A store's directory, removed with it.
class TableFolder {
 public:
  TableFolder();

  const std::string& path() const { return folder_.path(); }
  std::string table(std::uint64_t number) const;
  std::unique_ptr<WritableFile> create(std::uint64_t number) const;
  std::string read(std::uint64_t number) const;
  void write(std::uint64_t number, std::string_view bytes) const;

 private:
  test::TemporaryDirectory folder_;
};

struct Version {
  EntryKind kind;
  std::string value;
};
// In entry order: keys ascending, sequences descending.
using KeyModel = std::map<std::pair<std::string, std::uint64_t>, Version>;
KeyModel::key_type model_key(std::string key, std::uint64_t sequence);
KeyModel random_keys(std::mt19937_64& random, std::size_t count);

TableMeta build_keys(const TableFolder& tables, std::uint64_t number, const KeyModel& model,
                     const TableSettings& settings);
std::shared_ptr<const KeyTable> open_keys(const TableFolder& tables, std::uint64_t number, BlockCache& cache);

struct TestEvent {
  Buffer record;
  Timestamp commit_time;
  RecordView view() const { return RecordView::trusted(bytes_of(record)); }
};

Buffer encode(const Event& event);
EventId caller_id(std::uint64_t n);
// `entities`: how many distinct ones to draw from.
std::vector<TestEvent> random_events(std::mt19937_64& random, std::size_t count, std::size_t entities);

TableMeta build_events(const TableFolder& tables, std::uint64_t number, const std::vector<TestEvent>& events,
                       Position begin, const TableSettings& settings);
std::shared_ptr<const EventTable> open_events(const TableFolder& tables, std::uint64_t number, BlockCache& cache);

// The terms of an attribute, read from the record itself.
std::vector<std::string> terms_of(const RecordView& record, Attribute attribute);

}  // namespace hdb::sstable
