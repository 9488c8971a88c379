// The command line's parts: times, unpacking, lines, fields and mappings. What the executable does with them is in
// cli_process_test.py.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <zlib.h>
#include <zstd.h>

#include "base/record.h"
#include "tests/support/temporary_directory.h"
#include "tools/cli/event_batch.h"
#include "tools/cli/ingest_progress.h"
#include "tools/cli/input_stream.h"
#include "tools/cli/line_parser.h"
#include "tools/cli/line_reader.h"
#include "tools/cli/mapping.h"
#include "tools/cli/output.h"
#include "tools/cli/time_text.h"

namespace hdb::cli {

namespace {

class Scratch {
 public:
  std::string write(const std::string& name, std::string_view content) const {
    const std::filesystem::path path = std::filesystem::path(directory_.path()) / name;
    std::ofstream(path, std::ios::binary) << content;
    return path.string();
  }

 private:
  test::TemporaryDirectory directory_;
};

std::int64_t ns_of(std::string_view text) {
  const auto time = parse_time(text);
  REQUIRE_MESSAGE(time.ok(), text);
  return time->time_since_epoch().count();
}

std::string gzip(std::string_view text) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string packed(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

std::string zstd(std::string_view text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
  return packed;
}

struct ReadBack {
  std::string text;
  Status failure;
};
ReadBack read_all(const std::string& path, std::size_t piece_bytes) {
  const auto stream = InputStream::open(path);
  REQUIRE(stream.ok());
  ReadBack result;
  Buffer piece(piece_bytes);
  while (true) {
    const auto count = stream.value()->read(piece);
    if (!count.ok()) {
      result.failure = count.status();
      return result;
    }
    if (count.value() == 0) return result;
    result.text.append(as_text(ByteView(piece).first(count.value())));
  }
}

std::string lines_of_text(std::size_t bytes) {
  std::mt19937_64 random(7);
  std::string text;
  while (text.size() < bytes) {
    text += std::to_string(random());
    text += random() % 5 == 0 ? "\n" : " ";
  }
  return text;
}

// A line with the bytes behind it that parsers may read.
struct Padded {
  explicit Padded(std::string_view line) : storage(line), bytes(line.size()) { storage.resize(bytes + 64, ' '); }
  std::string_view view() const { return std::string_view(storage).substr(0, bytes); }
  std::string storage;
  std::size_t bytes;
};

Mapping mapping_of(std::string_view toml) {
  auto mapping = Mapping::parse(toml, "test.toml");
  REQUIRE_MESSAGE(mapping.ok(), mapping.status().message());
  return std::move(mapping).value();
}

std::vector<std::string> tags_of(const Event& event) {
  return {event.tags.begin(), event.tags.end()};
}

}  // namespace

TEST_CASE("times are read in every form that logs use, to the nanosecond") {
  constexpr std::int64_t kSecond = 1'521'911'720;
  constexpr std::int64_t kNs = kSecond * 1'000'000'000;
  CHECK(ns_of("2018-03-24T17:15:20Z") == kNs);
  CHECK(ns_of("2018-03-24t17:15:20z") == kNs);
  CHECK(ns_of("2018-03-24 17:15:20Z") == kNs);
  CHECK(ns_of("2018-03-24T19:15:20+02:00") == kNs);
  CHECK(ns_of("2018-03-24T12:45:20-0430") == kNs);
  CHECK(ns_of("2018-03-24T17:15:20.600725Z") == kNs + 600'725'000);
  CHECK(ns_of("2018-03-24T17:15:20.123456789Z") == kNs + 123'456'789);
  CHECK(ns_of("2018-03-24T17:15:20.1234567899Z") == kNs + 123'456'789);
  CHECK(ns_of("2018-03-24") == 1'521'849'600'000'000'000);
  CHECK(ns_of("1521911720") == kNs);
  CHECK(ns_of("1521911720.123456789") == kNs + 123'456'789);
  CHECK(ns_of("1521911720123") == kNs + 123'000'000);
  CHECK(ns_of("1521911720123.25") == kNs + 123'250'000);
  CHECK(ns_of("1521911720123456") == kNs + 123'456'000);
  CHECK(ns_of("1521911720123456789") == kNs + 123'456'789);
  CHECK(ns_of("1.521911720600725e9") == kNs + 600'725'000);
  CHECK(ns_of("0") == 0);
  CHECK(ns_of("-1.5") == -1'500'000'000);
  CHECK(ns_of("1970-01-01T00:00:00Z") == 0);
  CHECK(ns_of("1969-12-31T23:59:59.5Z") == -500'000'000);
}

TEST_CASE("what is no time is refused with what would be one") {
  for (const char* text :
       {"", "yesterday", "2018-13-01T00:00:00Z", "2018-02-30", "2018-03-24T17:15", "2018-03-24T17:15:20",
        "2018-03-24T24:00:00Z", "2018-03-24T17:15:20.Z", "2018-03-24T17:15:20+2", "1.2.3", "1521911720.", "12x",
        "99999999999999999999", "9999-01-01T00:00:00Z", "1e99", "-"}) {
    CAPTURE(text);
    const auto time = parse_time(text);
    REQUIRE(!time.ok());
    CHECK(time.status().code() == StatusCode::kInvalidArgument);
  }
}

TEST_CASE("relative times count back from now") {
  const Timestamp now(std::chrono::seconds(1'000'000));
  CHECK(parse_time("-15m", now).value() == now - std::chrono::minutes(15));
  CHECK(parse_time("-2h", now).value() == now - std::chrono::hours(2));
  CHECK(parse_time("-7d", now).value() == now - std::chrono::hours(7 * 24));
  CHECK(parse_time("now", now).value() == now);
  CHECK(parse_time("-5", now).value() == Timestamp(std::chrono::seconds(-5)));
  CHECK(!parse_time("-15x", now).ok());
}

TEST_CASE("a formatted time reads back to the same nanosecond") {
  std::mt19937_64 random(11);
  for (int round = 0; round < 2000; ++round) {
    const Timestamp time(std::chrono::nanoseconds(static_cast<std::int64_t>(random()) / (round % 3 == 0 ? 1 : 8)));
    const auto again = parse_time(format_time(time));
    CAPTURE(format_time(time));
    REQUIRE(again.ok());
    REQUIRE(again.value() == time);
  }
  CHECK(format_time(Timestamp::min()) == "1677-09-21T00:12:43.145224192Z");
  CHECK(format_time(Timestamp::max()) == "2262-04-11T23:47:16.854775807Z");
  CHECK(format_time(Timestamp(std::chrono::nanoseconds(-1))) == "1969-12-31T23:59:59.999999999Z");
  for (const Timestamp time : {Timestamp::min(), Timestamp::max()})
    CHECK(parse_time(format_time(time)).value() == time);
}

TEST_CASE("packed files of any number of members read as their text") {
  const Scratch scratch;
  const std::string text = lines_of_text(600'000);
  const std::string half(text.substr(0, 300'001));
  const std::string rest(text.substr(300'001));
  for (const std::size_t piece : {1000u, 65'536u, 1'000'000u}) {
    CHECK(read_all(scratch.write("plain", text), piece).text == text);
    CHECK(read_all(scratch.write("one.gz", gzip(text)), piece).text == text);
    CHECK(read_all(scratch.write("two.gz", gzip(half) + gzip("") + gzip(rest)), piece).text == text);
    CHECK(read_all(scratch.write("padded.gz", gzip(text) + std::string(512, '\0')), piece).text == text);
    CHECK(read_all(scratch.write("one.zst", zstd(text)), piece).text == text);
    CHECK(read_all(scratch.write("two.zst", zstd(half) + zstd(rest)), piece).text == text);
  }
  CHECK(read_all(scratch.write("empty", ""), 10).text.empty());
  CHECK(read_all(scratch.write("empty.gz", gzip("")), 10).failure.ok());
}

TEST_CASE("packed data cut short anywhere gives what came before, then an error that names the file") {
  const Scratch scratch;
  const std::string text = lines_of_text(20'000);
  for (const auto& [name, packed] : {std::pair<std::string, std::string>("a.gz", gzip(text)), {"a.zst", zstd(text)}}) {
    for (std::size_t bytes = 5; bytes < packed.size(); bytes += 97) {
      const ReadBack back = read_all(scratch.write(name, packed.substr(0, bytes)), 4096);
      REQUIRE(!back.failure.ok());
      REQUIRE(back.failure.code() == StatusCode::kInvalidArgument);
      REQUIRE(back.failure.message().find(name) != std::string_view::npos);
      REQUIRE(text.starts_with(back.text));
    }
  }
}

TEST_CASE("damaged packed data never crashes and never reads past its memory") {
  const Scratch scratch;
  std::mt19937_64 random(3);
  const std::string text = lines_of_text(5'000);
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    std::string packed = round % 2 == 0 ? gzip(text) : zstd(text);
    packed[4 + random() % (packed.size() - 4)] ^= static_cast<char>(1 + random() % 255);
    const ReadBack back = read_all(scratch.write("bad", packed), 4096);
    if (!back.failure.ok()) ++refused;
  }
  CHECK(refused > 100);
}

TEST_CASE("a stream goes on at any offset") {
  const Scratch scratch;
  const std::string text = lines_of_text(100'000);
  for (const std::string& path : {scratch.write("a", text), scratch.write("a.gz", gzip(text))}) {
    for (const std::uint64_t offset :
         {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{77'777}, std::uint64_t{text.size()}}) {
      const auto stream = InputStream::open(path);
      REQUIRE(stream.ok());
      REQUIRE(stream.value()->skip_to(offset).ok());
      REQUIRE(stream.value()->offset() == offset);
      Buffer piece(10);
      const auto count = stream.value()->read(piece);
      REQUIRE(count.ok());
      CHECK(as_text(ByteView(piece).first(count.value())) == text.substr(offset, count.value()));
    }
    const auto stream = InputStream::open(path);
    REQUIRE(stream.value()->skip_to(text.size() + 5).ok());
    CHECK(stream.value()->offset() == text.size());
  }
}

TEST_CASE("lines come with their number and offset, and one that is too long is passed over") {
  const Scratch scratch;
  const std::string too_long(700'000, 'x');
  const std::string text = "a\n\nbb\r\n" + too_long + "\n" + std::string(1000, 'y') + "\nlast";
  const auto stream = InputStream::open(scratch.write("lines", text));
  LineReader reader(*stream.value(), 1000);
  std::vector<Line> lines;
  std::vector<std::string> texts;
  while (true) {
    const auto line = reader.next();
    REQUIRE(line.ok());
    if (!line.value()) break;
    lines.push_back(*line.value());
    texts.emplace_back(line.value()->text);
  }
  REQUIRE(texts == std::vector<std::string>{"a", "", "bb\r", "", std::string(1000, 'y'), "last"});
  CHECK(lines[3].is_too_long);
  CHECK(!lines[4].is_too_long);
  CHECK(lines[4].number == 5);
  CHECK(lines[2].end_offset == 7);
  CHECK(lines[4].end_offset == text.size() - 4);
  CHECK(lines[4].has_newline);
  CHECK(!lines[5].has_newline);
  CHECK(lines[5].end_offset == text.size());
}

TEST_CASE("the hash of a file's beginning does not depend on the pieces it was read in, and tells changes") {
  std::mt19937_64 random(7);
  std::string text(5000, ' ');
  for (char& letter : text) letter = static_cast<char>(random());
  const ByteView whole = as_bytes(text);
  const std::uint64_t hash = extended_hash(0, whole);
  for (int round = 0; round < 200; ++round) {
    std::uint64_t pieces = 0;
    for (std::size_t at = 0; at < whole.size();) {
      const std::size_t bytes = std::min<std::size_t>(whole.size() - at, random() % 40);
      pieces = extended_hash(pieces, whole.subspan(at, bytes));
      at += bytes;
    }
    REQUIRE(pieces == hash);
    std::string changed = text;
    changed[random() % changed.size()] ^= static_cast<char>(1 << random() % 8);
    REQUIRE(extended_hash(0, as_bytes(changed)) != hash);
  }
  CHECK(extended_hash(0, as_bytes(std::string(1, '\0'))) != 0);

  const Scratch scratch;
  const auto stream = InputStream::open(scratch.write("lines", "a\nlonger than ten\nlast"));
  LineReader reader(*stream.value(), 10);
  std::uint64_t end_hash = 0;
  while (const auto line = reader.next().value()) end_hash = line->end_hash;
  CHECK(end_hash == extended_hash(0, as_bytes("a\nlonger than ten\nlast")));
}

TEST_CASE("the Zeek mapping finds the attributes of a JSON line, and leaves out what is missing") {
  const Mapping mapping = mapping_of(zeek_mapping());
  LineParser parser(InputFormat::kZeek, mapping, false);
  REQUIRE(parser.begin_file("/logs/conn.log.gz", {}).ok());
  const Padded line(
      R"({"_path":"dns","ts":"2018-03-24T17:15:20.865716Z","uid":"CqKst5","id.orig_h":"10.47.1.100","id.resp_h":"10.0.0.100"})");
  const auto event = parser.parse(line.view());
  REQUIRE(event.ok());
  REQUIRE(event.value());
  CHECK(event.value()->type == "dns");
  CHECK(event.value()->entity == "CqKst5");
  CHECK(event.value()->host == "10.47.1.100");
  CHECK(event.value()->format == "Zeek");
  CHECK(tags_of(*event.value()) == std::vector<std::string>{"ip:10.47.1.100", "ip:10.0.0.100"});
  CHECK(event.value()->time->time_since_epoch().count() == 1'521'911'720'865'716'000);
  CHECK(as_text(event.value()->payload) == line.view());

  const Padded bare(R"({"ts":1521911720.865716123,"id":{"orig_h":"::1","resp_h":"::1"}})");
  const auto other = parser.parse(bare.view());
  REQUIRE(other.ok());
  CHECK(other.value()->type == "conn");
  CHECK(other.value()->entity.empty());
  CHECK(other.value()->host == "::1");
  CHECK(tags_of(*other.value()) == std::vector<std::string>{"ip:::1"});
  CHECK(other.value()->time->time_since_epoch().count() == 1'521'911'720'865'716'123);
}

TEST_CASE("Zeek's tab-separated form gives the same attributes, with unset fields absent") {
  const Mapping mapping = mapping_of(zeek_mapping());
  LineParser parser(InputFormat::kZeek, mapping, false);
  REQUIRE(parser.begin_file("anything.log", {}).ok());
  for (const char* header :
       {"#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", "#path\tconn",
        "#open\t2018-03-24-17-15-20", "#fields\tts\tuid\tid.orig_h\tid.resp_h\tservice",
        "#types\ttime\tstring\taddr\taddr\tset[string]"}) {
    const auto event = parser.parse(header);
    REQUIRE(event.ok());
    CHECK(!event.value());
  }
  const auto event = parser.parse("1521911720.865716\tCxyz\t10.0.0.1\t-\thttp,ssl");
  REQUIRE(event.ok());
  CHECK(event.value()->type == "conn");
  CHECK(event.value()->entity == "Cxyz");
  CHECK(event.value()->host == "10.0.0.1");
  CHECK(tags_of(*event.value()) == std::vector<std::string>{"ip:10.0.0.1"});
  CHECK(event.value()->time->time_since_epoch().count() == 1'521'911'720'865'716'000);
  CHECK(as_text(event.value()->payload) == "1521911720.865716\tCxyz\t10.0.0.1\t-\thttp,ssl");

  CHECK(!parser.parse("1521911720.865716\tCxyz").ok());
  CHECK(!parser.parse("1521911720.865716\tC\xff\t10.0.0.1\t-\t-").ok());

  // A file that is resumed in its middle has the header from where it was left.
  LineParser resumed(InputFormat::kZeek, mapping, false);
  REQUIRE(resumed.begin_file("anything.log", parser.headers()).ok());
  const auto again = resumed.parse("1521911720.865716\tCxyz\t10.0.0.1\t-\t(empty)");
  REQUIRE(again.ok());
  CHECK(again.value()->type == "conn");
  CHECK(again.value()->entity == "Cxyz");
  CHECK(!resumed.parse("#types\ttime").ok());
}

TEST_CASE(
    "of Zeek's header lines those in effect are kept, one of each kind, as they are taken where a file is resumed") {
  const Mapping mapping = Mapping::parse(zeek_mapping(), "zeek.toml").value();
  LineParser parser(InputFormat::kZeek, mapping, false);
  REQUIRE(parser.begin_file("logs/x.log", {}).ok());
  for (int round = 0; round < 100; ++round) {
    const std::string path = "#path\tlog" + std::to_string(round);
    REQUIRE(parser.parse("#fields\tuid\tid.orig_h\r\r").ok());
    REQUIRE(parser.parse(round % 2 == 0 ? "#types\tstring\taddr" : "#comment").ok());
    REQUIRE(parser.parse(path).ok());
  }
  const std::vector<std::string> headers = parser.headers();
  CHECK(headers == std::vector<std::string>{"#fields\tuid\tid.orig_h", "#path\tlog99"});
  REQUIRE(parser.begin_file("logs/x.log", headers).ok());
  CHECK(parser.headers() == headers);
  CHECK(parser.parse("C1\t10.0.0.1").value()->host == "10.0.0.1");
}

TEST_CASE("a line that is no UTF-8, no JSON object or over a limit is refused with the reason") {
  const Mapping mapping = mapping_of("type = ['t']\ntags = [{ prefix = 'k:', fields = ['tags'] }]\ntime = ['ts']");
  LineParser parser(InputFormat::kNdjson, mapping, false);
  REQUIRE(parser.begin_file("-", {}).ok());
  const auto why = [&parser](const std::string& text) {
    const Padded line(text);
    const auto event = parser.parse(line.view());
    REQUIRE_MESSAGE(!event.ok(), text.substr(0, 100));
    return std::string(event.status().message());
  };
  CHECK(why("{\"t\":\"\xff\"}").find("UTF-8") != std::string::npos);
  CHECK(why("{\"t\":").find("not a JSON object") != std::string::npos);
  CHECK(why("{\"t\":1} x").find("not a JSON object") != std::string::npos);
  CHECK(why("[1]").find("not a JSON object") != std::string::npos);
  CHECK(why("{\"t\":\"" + std::string(4097, 'x') + "\"}").find("type") != std::string::npos);
  CHECK(why("{\"tags\":\"" + std::string(511, 'x') + "\"}").find("tag") != std::string::npos);
  CHECK(why("{\"ts\":\"soon\"}").find("ts: \"soon\" is not a time") != std::string::npos);
  std::string many = "{\"tags\":[";
  for (int tag = 0; tag < 65; ++tag) many += (tag == 0 ? "" : ",") + std::to_string(tag);
  CHECK(why(many + "]}").find("tags") != std::string::npos);
  const Padded blank("  \r");
  CHECK(!parser.parse(blank.view()).value());
}

TEST_CASE("a mapping tries fields in order, keys before paths, and takes scalars only") {
  const Mapping mapping = mapping_of(
      "host = ['host', 'host.name']\ntype = { fields = ['kind'], constant = 'log' }\nentity = ['n', 'd']\n"
      "tags = [{ prefix = '', fields = ['tags'] }, { prefix = 'ip:', fields = ['a', 'b'] }]\nschema = ['x.y']");
  LineParser parser(InputFormat::kNdjson, mapping, false);
  REQUIRE(parser.begin_file("-", {}).ok());
  const Padded line(
      R"({"host":{"name":"web-1"},"n":null,"d":12.50,"tags":["u:1",true,7,null,{}],"a":"1","b":"1","x":{"y":2},"x.y":3})");
  const auto event = parser.parse(line.view());
  REQUIRE(event.ok());
  CHECK(event.value()->host == "web-1");
  CHECK(event.value()->type == "log");
  CHECK(event.value()->entity == "12.50");
  CHECK(event.value()->schema == "3");
  CHECK(!event.value()->time);
  CHECK(tags_of(*event.value()) == std::vector<std::string>{"u:1", "true", "7", "ip:1"});

  const Padded nested(R"({"x":{"y":1.250}})");
  CHECK(parser.parse(nested.view()).value()->schema == "1.250");
}

TEST_CASE("the default mapping of NDJSON takes the field names of common producers") {
  const Mapping mapping = mapping_of(ndjson_mapping());
  LineParser parser(InputFormat::kNdjson, mapping, false);
  REQUIRE(parser.begin_file("-", {}).ok());
  const Padded line(
      R"({"@timestamp":"2018-03-24T17:15:20Z","event":{"action":"login"},"host":{"name":"h"},"source":{"ip":"10.0.0.1"},"user":{"name":"root"}})");
  const auto event = parser.parse(line.view());
  REQUIRE(event.ok());
  CHECK(event.value()->type == "login");
  CHECK(event.value()->host == "h");
  CHECK(event.value()->time->time_since_epoch().count() == 1'521'911'720'000'000'000);
  CHECK(tags_of(*event.value()) == std::vector<std::string>{"ip:10.0.0.1", "user:root"});
}

TEST_CASE("a mistake in a mapping names the file, the line and what is allowed") {
  const auto why = [](std::string_view toml) {
    const auto mapping = Mapping::parse(toml, "my.toml");
    REQUIRE(!mapping.ok());
    CHECK(mapping.status().code() == StatusCode::kInvalidArgument);
    return std::string(mapping.status().message());
  };
  CHECK(why("type = ['a']\nhots = ['b']").starts_with("my.toml:2: \"hots\" is not an attribute"));
  CHECK(why("type = 'a'").find("list of field names") != std::string::npos);
  CHECK(why("type = [1]").find("text in quotes") != std::string::npos);
  CHECK(why("time = { constant = 'now' }").find("fields only") != std::string::npos);
  CHECK(why("tags = ['a']").find("tags takes a list") != std::string::npos);
  CHECK(why("type = [").starts_with("my.toml:1: "));
  CHECK(!Mapping::load("/nonexistent/mapping.toml").ok());
}

TEST_CASE("an id is a UUID as given, or else made of source and text; of content, of the line") {
  const Mapping mapping = mapping_of("id = ['id']\nsource = ['s']");
  LineParser parser(InputFormat::kNdjson, mapping, false);
  REQUIRE(parser.begin_file("-", {}).ok());
  const Padded uuid(R"({"id":"9F3A01C2-AC96-474B-BCCE-B302099A8057"})");
  CHECK(parser.parse(uuid.view()).value()->id->to_string() == "9f3a01c2-ac96-474b-bcce-b302099a8057");
  const Padded text(R"({"id":"order-1","s":"shop"})");
  CHECK(*parser.parse(text.view()).value()->id == EventId::from_name("shop", "order-1"));
  const Padded number(R"({"id":7})");
  CHECK(*parser.parse(number.view()).value()->id == EventId::from_name("", "7"));
  const Padded none("{}");
  CHECK(!parser.parse(none.view()).value()->id);

  LineParser by_content(InputFormat::kLines, mapping, true);
  const Padded line("a line"), other("a line ");
  const EventId id = *by_content.parse(line.view()).value()->id;
  CHECK(*by_content.parse(line.view()).value()->id == id);
  CHECK(*by_content.parse(other.view()).value()->id != id);
}

TEST_CASE("a batch keeps events when the lines they were made of are gone") {
  EventBatch batch;
  for (int round = 0; round < 2; ++round) {
    batch.clear();
    for (int number = 0; number < 500; ++number) {
      std::string text = std::to_string(number);
      std::string payload(static_cast<std::size_t>(number) * 37, static_cast<char>('a' + number % 26));
      std::vector<std::string_view> tags(static_cast<std::size_t>(number) % 4, text);
      Event event;
      event.type = text;
      event.tags = tags;
      event.payload = as_bytes(payload);
      batch.add(event);
    }
    const auto events = batch.events();
    REQUIRE(events.size() == 500);
    for (std::size_t number = 0; number < 500; ++number) {
      REQUIRE(events[number].type == std::to_string(number));
      REQUIRE(events[number].payload.size() == number * 37);
      REQUIRE(tags_of(events[number]) == std::vector<std::string>(number % 4, std::to_string(number)));
    }
  }
}

TEST_CASE("a file's place is decoded as it was encoded, and damage is refused") {
  FileProgress progress;
  progress.path = "/var/log/conn.log";
  progress.stamp = {.device = 1, .inode = 2, .bytes = 3, .modified_ns = -4};
  progress.head_bytes = 100;
  progress.headers = {"#fields\tts", ""};
  progress.advance(Line{.text = "the last line", .number = 12, .end_offset = 1000, .end_hash = 77});
  const std::string value = progress.encode();
  const auto back = FileProgress::decode("key", as_bytes(value));
  REQUIRE(back.ok());
  CHECK(back->path == progress.path);
  CHECK(back->stamp == progress.stamp);
  CHECK(back->offset == 1000);
  CHECK(back->line == 12);
  CHECK(back->is_line_open);
  CHECK(back->tail_bytes == 13);
  CHECK(back->tail_hash == progress.tail_hash);
  CHECK(back->headers == progress.headers);
  CHECK(back->encode() == value);
  for (std::size_t bytes = 0; bytes < value.size(); ++bytes) {
    REQUIRE(!FileProgress::decode("key", as_bytes(std::string_view(value).substr(0, bytes))).ok());
  }
}

TEST_CASE("JSON strings escape what they must and nothing else") {
  std::string text;
  append_json_string(text, "a\"b\\c\n\t\x01\x7fµ");
  CHECK(text == "\"a\\\"b\\\\c\\n\\t\\u0001\x7fµ\"");
}

}  // namespace hdb::cli
