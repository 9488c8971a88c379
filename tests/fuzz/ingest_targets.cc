// Targets of tools/cli: lines of logs, mappings, times, packed files, the place an ingest has reached, JSON output.
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

#include "base/record.h"
#include "engine/json.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/samples.h"
#include "tests/fuzz/target.h"
#include "tools/cli/ingest_progress.h"
#include "tools/cli/line_parser.h"
#include "tools/cli/output.h"
#include "tools/cli/time_text.h"

namespace hdb::fuzz {
namespace {

using namespace cli;

const Mapping& mapping_of(InputFormat format) {
  static const Mapping zeek = Mapping::parse(zeek_mapping(), "zeek.toml").value();
  static const Mapping ndjson = Mapping::parse(ndjson_mapping(), "ndjson.toml").value();
  static const Mapping none;
  return format == InputFormat::kZeek ? zeek : format == InputFormat::kNdjson ? ndjson : none;
}

// Parses lines, each up to a newline, and checks the events. How many there were.
std::size_t parse_lines(LineParser& parser, std::string_view text, bool has_content_ids) {
  HDB_CHECK(parser.begin_file("logs/dns.log", {}).ok());
  std::size_t events = 0;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    // Exactly the bytes that a parser may read.
    const std::size_t room = line.size() + LineReader::kSlackBytes;
    const auto padded = std::make_unique<char[]>(room);
    std::copy(line.begin(), line.end(), padded.get());
    const auto event = parser.parse({padded.get(), line.size()});
    if (!event.ok()) {
      HDB_CHECK(event.status().code() == StatusCode::kInvalidArgument && !event.status().message().empty());
      continue;
    }
    if (!event.value()) continue;
    HDB_CHECK(validate_event(**event).ok());
    HDB_CHECK(as_text((*event)->payload) == line);
    HDB_CHECK(!has_content_ids || (*event)->id.has_value());
    Buffer record(record_bytes(**event));
    encode_record(**event, {Timestamp{}, 0}, record.data());
    HDB_CHECK(RecordView::decode(record).ok());
    ++events;
  }
  // Where a file is resumed, the header lines in effect are taken again.
  const std::vector<std::string> headers = parser.headers();
  HDB_CHECK(headers.size() <= 7);  // one of each kind
  HDB_CHECK(parser.begin_file("-", headers).ok());
  HDB_CHECK(parser.headers() == headers);
  return events;
}

// A byte that chooses the format, then lines.
bool run_ingest_lines(ByteView input) {
  Pieces pieces(input);
  const std::uint8_t choice = pieces.byte();
  const auto format = static_cast<InputFormat>(choice % 3);
  const bool has_content_ids = (choice & 4) != 0;
  LineParser parser(format, mapping_of(format), has_content_ids);
  return parse_lines(parser, as_text(pieces.rest()), has_content_ids) > 0;
}

constexpr std::string_view kZeekLog =
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tdns\n"
    "#fields\tts\tuid\tid.orig_h\tid.resp_h\tanswers\n#types\ttime\tstring\taddr\taddr\tset[string]\n"
    "1521911721.255387\tCkdg\t10.1.2.3\t8.8.8.8\ta,b\\x2cc\n1521911722\t-\t10.1.2.3\t8.8.8.8\t(empty)\n#close\t2018\n";

std::vector<Buffer> ingest_lines_seeds() {
  std::vector<Buffer> seeds;
  const auto add = [&seeds](InputFormat format, std::uint8_t ids, std::string_view lines) {
    append(seeds.emplace_back(1, static_cast<std::byte>(static_cast<std::uint8_t>(format) + ids)), as_bytes(lines));
  };
  add(InputFormat::kZeek, 0, kZeekLog);
  add(InputFormat::kZeek, 6, R"({"ts":1521911721.255387,"uid":"Ck","id.orig_h":"10.1.2.3","_path":"conn"})");
  add(InputFormat::kNdjson, 0,
      "{\"timestamp\":\"2018-03-24T17:15:20.600725Z\",\"event_type\":\"alert\",\"src_ip\":\"10.0.0.1\",\"n\":1e999,"
      "\"alert\":{\"signature\":\"s\\u00e9\"},\"flow_id\":18446744073709551615}\n \n{\"a\":[1,2]}\n");
  add(InputFormat::kLines, 3, "a line\n\n\xff\xfe\n");
  return seeds;
}

// A mapping up to a zero byte, then lines of JSON.
bool run_mapping(ByteView input) {
  Pieces pieces(input);
  const std::string toml(pieces.text());
  const auto mapping = Mapping::parse(toml, "mine.toml");
  if (!mapping.ok()) {
    HDB_CHECK(contains(mapping.status().message(), "mine.toml:"));
    return false;
  }
  HDB_CHECK(mapping->text == toml);
  LineParser parser(InputFormat::kNdjson, mapping.value(), false);
  parse_lines(parser, as_text(pieces.rest()), false);
  return true;
}

std::vector<Buffer> mapping_seeds() {
  using namespace std::string_view_literals;
  return {copy_of("time = [\"t\"]\nid = [\"id\"]\ntype = { fields = [\"a.b\"], file_name = true }\n"
                  "format = { constant = \"X\" }\ntags = [{ prefix = \"p:\", fields = [\"t\", \"a.c\"] }]\n\0"
                  "{\"t\":1521911721,\"a\":{\"b\":\"x\",\"c\":[1.25,true,null]},\"id\":\"7\"}\n"sv),
          copy_of(ndjson_mapping())};
}

bool run_time_text(ByteView input) {
  constexpr Timestamp kNow(std::chrono::seconds(1'700'000'000));
  const std::string_view text = as_text(input);
  const auto time = parse_time(text);
  const auto relative = parse_time(text, kNow);
  if (time.ok()) HDB_CHECK(relative.ok() && relative.value() == time.value());
  if (!relative.ok()) {
    HDB_CHECK(contains(relative.status().message(), text.substr(0, 64)));
    return false;
  }
  const auto again = parse_time(format_time(relative.value()));
  HDB_CHECK(again.ok() && again.value() == relative.value());
  return true;
}

std::vector<Buffer> time_text_seeds() {
  return {copy_of("2018-03-24T17:15:20.600725Z"),
          copy_of("2018-03-24 19:15:20,5+02:00"),
          copy_of("2018-03-24"),
          copy_of("1521911720.600725"),
          copy_of("-1.521911720600725e9"),
          copy_of("-15m"),
          copy_of("now")};
}

// The unpacked bytes, as far as they are worth looking at.
constexpr std::size_t kUnpackedMax = 1u << 20;

Buffer unpacked(InputStream& stream, Status& end) {
  Buffer all;
  Buffer piece(10'000);
  while (all.size() < kUnpackedMax) {
    const auto count = stream.read(piece);
    end = count.status();
    if (!count.ok() || count.value() == 0) break;
    append(all, ByteView(piece).first(count.value()));
    HDB_CHECK(stream.offset() == all.size());
  }
  return all;
}

// A byte that chooses the longest line, then a file: packed or not.
bool run_line_reader(ByteView input) {
  Pieces pieces(input);
  const std::size_t line_bytes_max = std::size_t{1} + pieces.byte() * std::size_t{16};
  const MemoryFile file(pieces.rest());
  auto stream = InputStream::open(file.path());
  HDB_CHECK(stream.ok());
  Status end;
  const Buffer all = unpacked(**stream, end);
  if (all.size() >= kUnpackedMax) return true;
  HDB_CHECK(end.ok() || contains(end.message(), file.path()));
  HDB_CHECK((*stream)->packing() != InputStream::Packing::kNone || equal_bytes(all, pieces.rest()));

  stream = InputStream::open(file.path());
  LineReader reader(**stream, line_bytes_max);
  std::size_t at = 0;
  std::uint64_t lines = 0;
  while (true) {
    const auto line = reader.next();
    if (!line.ok()) {
      HDB_CHECK(!end.ok() && contains(line.status().message(), file.path()));
      break;
    }
    if (!line.value()) {
      HDB_CHECK(end.ok() && at == all.size());
      break;
    }
    const Line& found = **line;
    const std::string_view rest = as_text(ByteView(all).subspan(at));
    const std::string_view expected = rest.substr(0, rest.find('\n'));
    const bool has_newline = expected.size() < rest.size();
    at += expected.size() + (has_newline ? 1 : 0);
    HDB_CHECK(found.number == ++lines && found.end_offset == at && found.has_newline == has_newline);
    HDB_CHECK(found.is_too_long == (expected.size() > line_bytes_max));
    HDB_CHECK(found.text == (found.is_too_long ? std::string_view() : expected));
    HDB_CHECK(found.end_hash == extended_hash(0, ByteView(all).first(at)));
    HDB_CHECK(at <= all.size());
  }
  return end.ok();
}

std::vector<Buffer> line_reader_seeds() {
  constexpr std::string_view kText = "first line\n\nthird, which is longer than sixteen bytes\nlast";
  std::vector<Buffer> seeds;
  append(seeds.emplace_back(1, std::byte{9}), as_bytes(kText));

  Buffer gzip(200);
  z_stream stream{};
  HDB_CHECK(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(kText.data()));
  stream.avail_in = static_cast<uInt>(kText.size());
  stream.next_out = reinterpret_cast<Bytef*>(gzip.data());
  stream.avail_out = static_cast<uInt>(gzip.size());
  HDB_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  gzip.resize(stream.total_out);
  deflateEnd(&stream);
  append(seeds.emplace_back(1, std::byte{1}), gzip);
  append(seeds.back(), gzip);  // two members

  Buffer zstd(200);
  zstd.resize(ZSTD_compress(zstd.data(), zstd.size(), kText.data(), kText.size(), 1));
  append(seeds.emplace_back(1, std::byte{1}), zstd);
  return seeds;
}

bool run_ingest_place(ByteView input) {
  const auto place = FileProgress::decode("key", input);
  if (!place.ok()) return false;
  HDB_CHECK(place->key == "key" && place->head_bytes <= FileHead::kBytesMax && place->tail_bytes <= place->offset);
  const std::string encoded = place->encode();
  const auto again = FileProgress::decode("key", as_bytes(encoded));
  HDB_CHECK(again.ok() && again->encode() == encoded);
  HDB_CHECK(again->offset == place->offset && again->hash == place->hash && again->headers == place->headers);
  return true;
}

std::vector<Buffer> ingest_place_seeds() {
  FileProgress place;
  place.path = "/var/log/dns.log";
  place.stamp = {1, 2, 5000, 1'521'911'721'255'387'000};
  place.head_bytes = 4096;
  place.head_hash = 0x1234;
  place.headers = {"#path\tdns", "#fields\tts\tuid"};
  place.advance({.text = "a line", .number = 17, .end_offset = 4500, .end_hash = 99, .has_newline = true});
  return {copy_of(place.encode())};
}

// A record: what hdb prints of it is JSON, whatever its bytes are.
bool run_envelope(ByteView input) {
  const auto record = RecordView::decode(input);
  if (!record.ok()) return false;
  bool has_text = true;  // texts that are not UTF-8 are refused at the append
  for (std::size_t field = 0; field < kTextFields; ++field) {
    has_text = has_text && validate_event({.type = record->text(static_cast<TextField>(field))}).ok();
  }
  record->for_each_tag([&](std::string_view tag) { has_text = has_text && validate_event({.type = tag}).ok(); });
  if (!has_text || !check_metadata(record->metadata()).ok()) return false;
  std::string json;
  append_envelope(json, StoredEvent(5, Timestamp(std::chrono::seconds(1)), record->bytes(), nullptr));
  HDB_CHECK(check_metadata(json).ok());
  HDB_CHECK(!contains(json, "\n"));
  return true;
}

std::vector<Buffer> envelope_seeds() {
  std::vector<Buffer> seeds;
  for (std::size_t index = 0; index < kSampleEvents; ++index) seeds.push_back(sample_record(index));
  return seeds;
}

constexpr Target kTargets[] = {
    {"ingest_lines", &run_ingest_lines, &ingest_lines_seeds}, {"mapping", &run_mapping, &mapping_seeds},
    {"time_text", &run_time_text, &time_text_seeds},          {"line_reader", &run_line_reader, &line_reader_seeds},
    {"ingest_place", &run_ingest_place, &ingest_place_seeds}, {"envelope", &run_envelope, &envelope_seeds},
};

}  // namespace

std::span<const Target> ingest_targets() noexcept {
  return kTargets;
}

}  // namespace hdb::fuzz
