// Options by name, by file and by preset.
#include <hdb/options.h>

#include <doctest/doctest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace hdb {
namespace {

// A file of this process, gone when the test ends.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view content)
      : path_(std::filesystem::temp_directory_path() / ("hdb_options_" + std::to_string(::getpid()) + ".toml")) {
    std::ofstream(path_) << content;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct Setting {
  std::string name;
  std::string value;  // as to_toml writes it, without quotes
};

std::vector<Setting> settings_of(const Options& options) {
  std::vector<Setting> settings;
  std::istringstream lines(to_toml(options));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t equals = line.find(" = ");
    REQUIRE(equals != std::string::npos);
    std::string value = line.substr(equals + 3);
    if (value.front() == '"') value = value.substr(1, value.size() - 2);
    settings.push_back({line.substr(0, equals), value});
  }
  return settings;
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Options in which every setting differs from the default and lies in its range.
Options all_changed() {
  Options options;
  options.durability = Durability::kInterval;
  options.sync_interval_ms = 250;
  options.memtable_bytes = (32ull << 20) + 1;
  options.sealed_memtables_max = 3;
  options.log_bytes_max = 5ull << 30;
  options.log_segment_bytes = 128ull << 20;
  options.log_writes = LogWrites::kIoUring;
  options.leaf_hashes = true;
  options.block_cache_bytes = 3ull << 30;
  options.open_tables_max = 77;
  options.block_bytes = 5000;
  options.compression = Compression::kNone;
  options.compression_level = 7;
  options.filter_bits_per_key = 0;
  options.table_writes = FileWrites::kDirect;
  options.table_bytes_target = 100ull << 20;
  options.event_merge_width = 5;
  options.level0_compaction_trigger = 6;
  options.level0_stop_trigger = 30;
  options.level_size_ratio = 8;
  options.background_threads = 3;
  options.compaction_bytes_per_s = 50'000'000;
  options.reserve_bytes = 1u << 20;
  return options;
}

TEST_CASE("every option can be set by name and goes through a file unchanged") {
  const Options changed = all_changed();
  REQUIRE(validate(changed).ok());
  const std::vector<Setting> defaults = settings_of({});
  const std::vector<Setting> settings = settings_of(changed);
  REQUIRE(settings.size() == defaults.size());
  Options by_name;
  for (std::size_t i = 0; i < settings.size(); ++i) {
    CAPTURE(settings[i].name);
    CHECK(settings[i].value != defaults[i].value);  // else an option is missing above
    CHECK(set_option(by_name, settings[i].name, settings[i].value).ok());
  }
  CHECK(to_toml(by_name) == to_toml(changed));
  const TemporaryFile file(to_toml(changed));
  const auto loaded = load_options(file.path());
  REQUIRE_MESSAGE(loaded.ok(), loaded.status().message());
  CHECK(loaded->memtable_bytes == changed.memtable_bytes);
  CHECK(loaded->durability == changed.durability);
  CHECK(loaded->compression == changed.compression);
  CHECK(loaded->log_writes == changed.log_writes);
  CHECK(loaded->table_writes == changed.table_writes);
  CHECK(to_toml(loaded.value()) == to_toml(changed));
}

TEST_CASE("every field of Options is an option") {
  // Compiles for exactly this many fields.
  const Options options;
  const auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22,
               f23] = options;
  CHECK(settings_of(options).size() == 23);
  CHECK(f2 == options.sync_interval_ms);
}

TEST_CASE("a switch takes on and off, and in a file true and false too") {
  Options options;
  CHECK(set_option(options, "leaf_hashes", "on").ok());
  CHECK(options.leaf_hashes);
  CHECK(has(set_option(options, "leaf_hashes", "yes").message(), "it takes one of \"off\" \"on\""));
  CHECK(load_options(TemporaryFile("leaf_hashes = true\n").path()).value().leaf_hashes);
  CHECK(!load_options(TemporaryFile("leaf_hashes = false\n").path()).value().leaf_hashes);
  CHECK(!load_options(TemporaryFile("compression = true\n").path()).ok());
}

TEST_CASE("sizes take KiB, MiB and GiB, and nothing else") {
  Options options;
  CHECK(set_option(options, "memtable_bytes", "128MiB").ok());
  CHECK(options.memtable_bytes == 128ull << 20);
  CHECK(set_option(options, "memtable_bytes", "3 GiB").ok());
  CHECK(options.memtable_bytes == 3ull << 30);
  CHECK(set_option(options, "block_bytes", "64KiB").ok());
  CHECK(options.block_bytes == 64u << 10);
  CHECK(set_option(options, "block_bytes", "4096").ok());
  CHECK(options.block_bytes == 4096);
  for (const char* wrong :
       {"", "MiB", "-1", "1.5MiB", "128MB", "1kib", "0x10", "99999999999999999999", "17179869184GiB"}) {
    CAPTURE(wrong);
    const Status status = set_option(options, "memtable_bytes", wrong);
    CHECK(status.code() == StatusCode::kInvalidArgument);
    CHECK(has(status.message(), "memtable_bytes"));
    CHECK(has(status.message(), "from 64KiB to 16GiB"));
  }
  CHECK(!set_option(options, "sync_interval_ms", "1KiB").ok());
  CHECK(!set_option(options, "block_bytes", "4GiB").ok());  // more than its type holds
  CHECK(options.block_bytes == 4096);
  CHECK(options.memtable_bytes == 3ull << 30);
}

TEST_CASE("a word that is no choice is refused with the choices") {
  Options options;
  const Status status = set_option(options, "durability", "always");
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK(has(status.message(), "\"none\" \"interval\" \"sync\""));
  CHECK(set_option(options, "compression", "none").ok());
  CHECK(options.compression == Compression::kNone);
}

TEST_CASE("a value out of its range is refused with the name, the value and the range") {
  struct Case {
    const char* name;
    const char* value;
    const char* range;
  };
  for (const Case& wrong :
       {Case{"sync_interval_ms", "0", "from 1 to 60000"}, Case{"memtable_bytes", "1KiB", "64KiB to 16GiB"},
        Case{"memtable_bytes", "17GiB", "64KiB to 16GiB"}, Case{"compression_level", "20", "1 to 19"},
        Case{"filter_bits_per_key", "33", "0 to 32"}, Case{"background_threads", "65", "1 to 64"},
        Case{"open_tables_max", "15", "16 to 1000000"}, Case{"level_size_ratio", "1", "2 to 100"}}) {
    CAPTURE(wrong.name);
    Options options;
    REQUIRE(set_option(options, wrong.name, wrong.value).ok());
    const Status status = validate(options);
    CHECK(status.code() == StatusCode::kInvalidArgument);
    CHECK(has(status.message(), std::string(wrong.name) + " is " + wrong.value + ";"));
    CHECK(has(status.message(), wrong.range));
  }
  Options options;
  options.level0_stop_trigger = options.level0_compaction_trigger = 8;
  CHECK(has(validate(options).message(), "level0_stop_trigger is 8"));
}

TEST_CASE("a file's mistakes are named with file and line") {
  struct Case {
    const char* content;
    const char* place;
    const char* what;
  };
  for (const Case& wrong :
       {Case{"block_bytes = 4096\n\nmemtable_byte = 1\n", ":3: ", "no option \"memtable_byte\""},
        Case{"\nmemtable_bytes = true\n", ":2: ", "memtable_bytes takes a size"},
        Case{"durability = 2\n", ":1: ", "durability takes one of"},
        Case{"block_bytes = -1\n", ":1: ", "block_bytes is \"-1\""},
        Case{"memtable_bytes = 1.5\n", ":1: ", "memtable_bytes takes"},
        Case{"# x\npreset = \"fast\"\n", ":2: ", "no preset \"fast\""}, Case{"preset = 3\n", ":1: ", "preset takes"},
        Case{"[durability]\nx = 1\n", ":1: ", "durability takes"},
        Case{"block_bytes = 1\nblock_bytes = \n", ":2: ", ""}}) {
    CAPTURE(wrong.content);
    const TemporaryFile file(wrong.content);
    const Status status = load_options(file.path()).status();
    CAPTURE(status.message());
    CHECK(status.code() == StatusCode::kInvalidArgument);
    CHECK(has(status.message(), file.path().string() + wrong.place));
    CHECK(has(status.message(), wrong.what));
  }
  CHECK(load_options("/nonexistent/hdb.toml").status().code() == StatusCode::kNotFound);
}

TEST_CASE("a file that is no TOML is an error, also where its parser would assert or run into the unreachable") {
  for (const std::string_view content :
       {"[[[\n", "a = [", "gr\u00f6\u00dfe = 1\n", "a.\u00e9.b = {", "= 1", "\"", "[a]]"}) {
    CAPTURE(content);
    const TemporaryFile file(content);
    const auto options = load_options(file.path());
    CHECK(options.status().code() == StatusCode::kInvalidArgument);
    CHECK(has(options.status().message(), file.path().string() + ":1: "));
  }
}

TEST_CASE("a file may start from a preset, wherever it names it") {
  const TemporaryFile file("block_bytes = \"64KiB\"\npreset = \"archive\"\n");
  const auto loaded = load_options(file.path());
  REQUIRE_MESSAGE(loaded.ok(), loaded.status().message());
  CHECK(loaded->block_bytes == 64u << 10);
  CHECK(loaded->compression_level == 19);
}

TEST_CASE("each preset is valid, found by name, and the same as its file") {
  CHECK(all_presets().size() == 5);
  for (const Preset& preset : all_presets()) {
    CAPTURE(preset.name);
    const Options options = preset.make();
    CHECK(validate(options).ok());
    CHECK(!preset.purpose.empty());
    const auto named = preset_by_name(preset.name);
    REQUIRE(named.ok());
    CHECK(to_toml(named.value()) == to_toml(options));
    const auto loaded = load_options(std::string(HDB_PRESETS) + "/" + std::string(preset.name) + ".toml");
    REQUIRE_MESSAGE(loaded.ok(), loaded.status().message());
    CHECK(to_toml(loaded.value()) == to_toml(options));
  }
  CHECK(to_toml(presets::durable()) == to_toml(Options{}));
  CHECK(has(preset_by_name("fast").status().message(), "durable, balanced, throughput, small, archive"));
}

}  // namespace
}  // namespace hdb
