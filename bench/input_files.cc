#include "bench/input_files.h"

#include <charconv>
#include <memory>

#include <simdjson.h>
#include <zlib.h>
#include <zstd.h>

#include "base/bytes.h"
#include "io/env.h"

namespace hdb::bench {

namespace {

constexpr std::uint64_t kFileBytesMax = 8ull << 30;
constexpr std::size_t kPieceBytes = 1u << 20;

Result<std::string> unpack_gzip(std::string_view packed, const std::string& path) {
  std::string text;
  std::string piece(kPieceBytes, '\0');
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 32) != Z_OK) return Status::io_error(path + ": zlib cannot start");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, &inflateEnd);
  std::size_t taken = 0;
  int code = Z_OK;
  while (taken < packed.size() || stream.avail_in > 0) {
    if (stream.avail_in == 0) {
      const std::size_t count = std::min(packed.size() - taken, kPieceBytes);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data() + taken));
      stream.avail_in = static_cast<uInt>(count);
      taken += count;
    }
    if (code == Z_STREAM_END) inflateReset(&stream);  // a further member
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    code = inflate(&stream, Z_NO_FLUSH);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) {
      return Status::invalid_argument(path + ": not valid gzip");
    }
    text.append(piece, 0, piece.size() - stream.avail_out);
  }
  while (code == Z_OK && stream.avail_out == 0) {  // what the last input still holds
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    code = inflate(&stream, Z_NO_FLUSH);
    text.append(piece, 0, piece.size() - stream.avail_out);
  }
  if (code != Z_STREAM_END) return Status::invalid_argument(path + ": the gzip data is cut short");
  return text;
}

Result<std::string> unpack_zstd(std::string_view packed, const std::string& path) {
  std::string text;
  std::string piece(kPieceBytes, '\0');
  const std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(), &ZSTD_freeDStream);
  ZSTD_inBuffer input{packed.data(), packed.size(), 0};
  std::size_t left = 0;
  bool is_full = false;
  do {
    ZSTD_outBuffer output{piece.data(), piece.size(), 0};
    left = ZSTD_decompressStream(stream.get(), &output, &input);
    if (ZSTD_isError(left)) return Status::invalid_argument(path + ": not valid zstd: " + ZSTD_getErrorName(left));
    text.append(piece, 0, output.pos);
    is_full = output.pos == output.size;
  } while (input.pos < input.size || is_full);
  if (left != 0) return Status::invalid_argument(path + ": the zstd data is cut short");
  return text;
}

Result<std::string> unpack(Buffer packed, const std::string& path) {
  const std::string_view text = as_text(bytes_of(packed));
  if (text.starts_with("\x1f\x8b")) return unpack_gzip(text, path);
  if (text.starts_with("\x28\xb5\x2f\xfd")) return unpack_zstd(text, path);
  return std::string(text);
}

// The first of the keys that holds text; empty if none does.
std::string text_of(const simdjson::dom::object& object, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    std::string_view value;
    if (object.at_key(key).get(value) == simdjson::SUCCESS) return std::string(value);
  }
  return {};
}

std::optional<int> digits(std::string_view text, std::size_t begin, std::size_t count) {
  int value = 0;
  const char* const first = text.data() + begin;
  const auto [end, error] = std::from_chars(first, first + count, value);
  if (error != std::errc() || end != first + count) return std::nullopt;
  return value;
}

// "2018-03-24T17:15:20.600725Z", with 0..9 decimals.
std::optional<Timestamp> parse_time(std::string_view text) {
  using namespace std::chrono;
  if (text.size() < 20 || text.size() > 30 || text.back() != 'Z') return std::nullopt;
  const auto year_part = digits(text, 0, 4), month_part = digits(text, 5, 2), day_part = digits(text, 8, 2);
  const auto hour_part = digits(text, 11, 2), minute_part = digits(text, 14, 2), second_part = digits(text, 17, 2);
  if (!year_part || !month_part || !day_part || !hour_part || !minute_part || !second_part) return std::nullopt;
  const year_month_day date{year(*year_part), month(static_cast<unsigned>(*month_part)),
                            day(static_cast<unsigned>(*day_part))};
  if (!date.ok()) return std::nullopt;
  Timestamp time = sys_days(date) + hours(*hour_part) + minutes(*minute_part) + seconds(*second_part);
  if (text[19] != '.') return time;
  std::string decimals(text.substr(20, text.size() - 21));
  decimals.resize(9, '0');
  const auto nanos = digits(decimals, 0, 9);
  if (!nanos) return std::nullopt;
  return time + nanoseconds(*nanos);
}

std::vector<std::string> tags_of(const simdjson::dom::object& object) {
  std::vector<std::string> tags;
  for (const std::string_view key : {"id.orig_h", "id.resp_h"}) {
    std::string_view address;
    if (object.at_key(key).get(address) == simdjson::SUCCESS) tags.push_back("ip:" + std::string(address));
  }
  simdjson::dom::array given;
  if (object.at_key("tags").get(given) != simdjson::SUCCESS) return tags;
  for (const simdjson::dom::element element : given) {
    std::string_view tag;
    if (element.get(tag) == simdjson::SUCCESS && !tag.empty()) tags.emplace_back(tag);
  }
  return tags;
}

Status add_line(simdjson::dom::parser& parser, std::string_view text, std::vector<InputLine>& lines) {
  simdjson::dom::object object;
  if (parser.parse(text.data(), text.size()).get(object) != simdjson::SUCCESS) {
    return Status::invalid_argument("not a JSON object; --input takes one a line");
  }
  lines.emplace_back();
  InputLine& line = lines.back();
  line.text = text;
  line.type = text_of(object, {"_path", "type"});
  line.entity = text_of(object, {"uid", "entity"});
  line.host = text_of(object, {"id.orig_h", "host"});
  line.tags = tags_of(object);
  line.time = parse_time(text_of(object, {"ts", "time"}));
  return {};
}

}  // namespace

Result<std::vector<InputFile>> load_input_files(std::span<const std::filesystem::path> paths) {
  std::vector<InputFile> files;
  for (const std::filesystem::path& path : paths) {
    Buffer bytes = HDB_TRY(read_file(posix_env(), path.string(), kFileBytesMax));
    std::string text = HDB_TRY(unpack(std::move(bytes), path.string()));
    files.push_back({path, std::move(text)});
  }
  return files;
}

std::uint64_t gzip6_bytes(std::string_view text) {
  z_stream stream{};
  HDB_CHECK(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string piece(kPieceBytes, '\0');
  std::uint64_t bytes = 0;
  int code = Z_OK;
  for (std::size_t taken = 0; code != Z_STREAM_END;) {
    if (stream.avail_in == 0) {
      const std::size_t count = std::min(text.size() - taken, kPieceBytes);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data() + taken));
      stream.avail_in = static_cast<uInt>(count);
      taken += count;
    }
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    code = deflate(&stream, taken == text.size() ? Z_FINISH : Z_NO_FLUSH);
    HDB_CHECK(code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR);
    bytes += piece.size() - stream.avail_out;
  }
  deflateEnd(&stream);
  return bytes;
}

std::uint64_t zstd3_bytes(std::string_view text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  const std::size_t bytes = ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3);
  HDB_CHECK(!ZSTD_isError(bytes));
  return bytes;
}

Result<std::vector<InputLine>> parse_input_lines(std::span<const InputFile> files) {
  std::vector<InputLine> lines;
  simdjson::dom::parser parser;
  for (const InputFile& file : files) {
    std::string_view rest = file.text;
    for (std::uint64_t number = 1; !rest.empty(); ++number) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      if (line.empty()) continue;
      HDB_TRY(add_line(parser, line, lines).in_context(file.path.string() + ":" + std::to_string(number)));
    }
  }
  if (lines.empty()) return Status::invalid_argument("the --input files hold no lines");
  return lines;
}

}  // namespace hdb::bench
