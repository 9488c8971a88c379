#include "tests/support/tables.h"

#include <doctest/doctest.h>

#include <unistd.h>
#include <filesystem>
#include <fstream>

#include "io/file_name.h"
#include "sstable/event_table_builder.h"
#include "sstable/key_table_builder.h"

namespace hdb::sstable {

TableFolder::TableFolder() {
  std::filesystem::create_directory(table_directory(path()));
}

std::string TableFolder::table(std::uint64_t number) const {
  return table_path(path(), FileNumber(number));
}

std::unique_ptr<WritableFile> TableFolder::create(std::uint64_t number) const {
  return posix_env().create(table(number)).value();
}

std::string TableFolder::read(std::uint64_t number) const {
  std::ifstream file(table(number), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void TableFolder::write(std::uint64_t number, std::string_view bytes) const {
  std::ofstream(table(number), std::ios::binary | std::ios::trunc) << bytes;
}

KeyModel::key_type model_key(std::string key, std::uint64_t sequence) {
  return {std::move(key), ~sequence};
}

KeyModel random_keys(std::mt19937_64& random, std::size_t count) {
  KeyModel model;
  for (std::uint64_t sequence = 1; model.size() < count; ++sequence) {
    std::string key = "key" + std::to_string(random() % (count / 2 + 1));
    if (random() % 50 == 0) key.append(random() % 300, 'x');
    if (random() % 100 == 0) key.clear();
    const bool is_erase = random() % 5 == 0;
    std::string value(is_erase ? 0 : random() % 80, static_cast<char>('a' + random() % 26));
    if (!is_erase && random() % 200 == 0) value.resize(20'000, 'v');
    model[model_key(key, sequence)] = {is_erase ? EntryKind::kErase : EntryKind::kPut, value};
  }
  return model;
}

TableMeta build_keys(const TableFolder& tables, std::uint64_t number, const KeyModel& model,
                     const TableSettings& settings) {
  KeyTableBuilder builder(tables.create(number), FileNumber(number), settings);
  for (const auto& [key, version] : model) {
    REQUIRE(
        builder.add({as_bytes(key.first), SequenceNumber(~key.second), version.kind, as_bytes(version.value)}).ok());
  }
  return builder.finish().value();
}

std::shared_ptr<const KeyTable> open_keys(const TableFolder& tables, std::uint64_t number, BlockCache& cache) {
  return KeyTable::open(posix_env(), tables.table(number), FileNumber(number), cache).value();
}

Buffer encode(const Event& event) {
  Buffer record(record_bytes(event));
  encode_record(event, {Timestamp(std::chrono::seconds(1'700'000'000)), 7}, record.data());
  return record;
}

EventId caller_id(std::uint64_t n) {
  return EventId::from_name("sstable_test", std::to_string(n));
}

std::vector<TestEvent> random_events(std::mt19937_64& random, std::size_t count, std::size_t entities) {
  std::vector<TestEvent> events;
  std::int64_t commit = 1'700'000'000'000'000'000;
  for (std::size_t i = 0; i < count; ++i) {
    if (random() % 7 == 0) commit += static_cast<std::int64_t>(random() % 1000);
    const std::string type = "type" + std::to_string(random() % 6);
    const std::string entity = random() % 9 == 0 ? "" : "entity-with-long-name-" + std::to_string(random() % entities);
    const std::string host = "10.0.0." + std::to_string(random() % 20);
    std::vector<std::string> tags;
    for (std::size_t left = random() % 4; left > 0; --left) tags.push_back("tag:" + std::to_string(random() % 50));
    const std::vector<std::string_view> tag_views(tags.begin(), tags.end());
    std::string payload(random() % 200, static_cast<char>(random()));
    if (random() % 500 == 0) payload.resize(100'000, 'p');
    Event event;
    event.type = type;
    event.entity = entity;
    event.host = host;
    event.tags = tag_views;
    event.payload = as_bytes(payload);
    event.time = Timestamp(std::chrono::nanoseconds(static_cast<std::int64_t>(random() % 1'000'000) - 1000));
    if (random() % 3 == 0) event.id = caller_id(i);
    events.push_back({encode(event), Timestamp(std::chrono::nanoseconds(commit))});
  }
  return events;
}

TableMeta build_events(const TableFolder& tables, std::uint64_t number, const std::vector<TestEvent>& events,
                       Position begin, const TableSettings& settings) {
  EventTableBuilder builder(tables.create(number), FileNumber(number), settings);
  for (std::size_t i = 0; i < events.size(); ++i) {
    REQUIRE(builder.add(begin + i, events[i].commit_time, events[i].view()).ok());
  }
  return builder.finish().value();
}

std::shared_ptr<const EventTable> open_events(const TableFolder& tables, std::uint64_t number, BlockCache& cache) {
  return EventTable::open(posix_env(), tables.table(number), FileNumber(number), cache).value();
}

std::vector<std::string> terms_of(const RecordView& record, Attribute attribute) {
  std::vector<std::string> terms;
  if (attribute == Attribute::kTag) {
    record.for_each_tag([&](std::string_view tag) { terms.emplace_back(tag); });
  } else {
    const TextField field = attribute == Attribute::kType     ? TextField::kType
                            : attribute == Attribute::kEntity ? TextField::kEntity
                                                              : TextField::kHost;
    if (!record.text(field).empty()) terms.emplace_back(record.text(field));
  }
  return terms;
}

}  // namespace hdb::sstable
