#include "tools/cli/input_stream.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

namespace hdb::cli {

namespace {

constexpr std::size_t kPieceBytes = 256u << 10;
constexpr std::string_view kGzipMagic = "\x1f\x8b";
constexpr std::string_view kZstdMagic = "\x28\xb5\x2f\xfd";

Status file_error(const std::string& path, std::string_view operation, int error) {
  const StatusCode code = error == ENOENT ? StatusCode::kNotFound : StatusCode::kIoError;
  return Status::error(code, fmt::format("{}: cannot {}: {}; check the name and its permissions", shown_name(path),
                                         operation, std::strerror(error)));
}

volatile std::sig_atomic_t stopping_signal = 0;

void on_interrupt(int signal) {
  stopping_signal = signal;
}

Status interrupted() {
  return Status::error(StatusCode::kClosed,
                       fmt::format("stopped by signal {}; what was read before is kept: run the same command again to "
                                   "go on",
                                   static_cast<int>(stopping_signal)));
}

Result<struct stat> status_of(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return file_error(path, "open", errno);
  if (S_ISDIR(status.st_mode)) {
    return Status::invalid_argument(path + ": is a directory; name the files in it");
  }
  return status;
}

// The file's own bytes, with a look at the first ones. Single-owner.
class RawFile {
 public:
  static Result<RawFile> open(const std::string& path) {
    if (path == "-") return RawFile(path, Handle(stdin, &no_close));
    Handle handle(std::fopen(path.c_str(), "rb"), &close);
    if (handle == nullptr) return file_error(path, "open", errno);
    return RawFile(path, std::move(handle));
  }

  // Up to four first bytes, which the next read returns again.
  Result<std::string_view> magic() {
    while (ahead_.size() < kMagicBytes) {
      std::byte bytes[kMagicBytes];
      const std::size_t count = HDB_TRY(read_file(MutableBytes(bytes).first(kMagicBytes - ahead_.size())));
      if (count == 0) break;
      ahead_.append(as_text({bytes, count}));
    }
    return std::string_view(ahead_);
  }

  Result<std::size_t> read(MutableBytes destination) {
    std::size_t count = 0;
    if (!ahead_.empty()) {
      count = std::min(ahead_.size(), destination.size());
      std::memcpy(destination.data(), ahead_.data(), count);
      ahead_.erase(0, count);
    } else {
      count = HDB_TRY(read_file(destination));
    }
    bytes_read_ += count;
    return count;
  }

  // Whether it could: pipes cannot.
  bool seek(std::uint64_t offset) {
    if (path_ == "-" || ::lseek(fileno(handle_.get()), static_cast<off_t>(offset), SEEK_SET) < 0) return false;
    ahead_.clear();
    bytes_read_ = offset;
    return true;
  }

  bool is_ready(std::chrono::milliseconds patience) const {
    if (!ahead_.empty()) return true;
    pollfd wanted{.fd = fileno(handle_.get()), .events = POLLIN, .revents = 0};
    return ::poll(&wanted, 1, static_cast<int>(patience.count())) != 0;
  }

  const std::string& path() const noexcept { return path_; }
  std::uint64_t bytes_read() const noexcept { return bytes_read_; }

 private:
  using Handle = std::unique_ptr<std::FILE, void (*)(std::FILE*)>;
  static constexpr std::size_t kMagicBytes = 4;

  RawFile(std::string path, Handle handle) : path_(std::move(path)), handle_(std::move(handle)) {}
  static void close(std::FILE* file) noexcept { std::fclose(file); }
  static void no_close(std::FILE*) noexcept {}

  Result<std::size_t> read_file(MutableBytes destination) {
    // Not fread: that waits for all of `destination` where a pipe has only a line to give.
    while (true) {
      const ssize_t count = ::read(fileno(handle_.get()), destination.data(), destination.size());
      if (is_interrupted()) return interrupted();
      if (count >= 0) return static_cast<std::size_t>(count);
      if (errno != EINTR) return file_error(path_, "read", errno);
    }
  }

  std::string path_;
  Handle handle_;
  std::string ahead_;
  std::uint64_t bytes_read_ = 0;
};

class PlainStream final : public InputStream {
 public:
  explicit PlainStream(RawFile file) : file_(std::move(file)) {}

  Result<std::size_t> read(MutableBytes destination) override {
    const std::size_t count = HDB_TRY(file_.read(destination));
    offset_ += count;
    return count;
  }
  Status skip_to(std::uint64_t offset) override {
    const auto stamp = stamp_of(file_.path());
    if (stamp.ok() && offset <= stamp->bytes && file_.seek(offset)) {
      offset_ = offset;
      return {};
    }
    return InputStream::skip_to(offset);
  }
  bool is_ready(std::chrono::milliseconds patience) override { return file_.is_ready(patience); }
  std::uint64_t file_bytes_read() const noexcept override { return file_.bytes_read(); }
  Packing packing() const noexcept override { return Packing::kNone; }

 private:
  RawFile file_;
};

// What the unpackers share: packed bytes read ahead.
class PackedInput {
 public:
  explicit PackedInput(RawFile file) : file_(std::move(file)), piece_(kPieceBytes) {}

  // The packed bytes not yet taken; reads more if there are none. Empty only at the file's end.
  Result<ByteView> rest() {
    if (begin_ == end_) {
      begin_ = 0;
      end_ = HDB_TRY(file_.read(piece_));
    }
    return ByteView(piece_).subspan(begin_, end_ - begin_);
  }
  void take(std::size_t count) noexcept { begin_ += count; }

  Status damaged(std::string_view what) const {
    return Status::invalid_argument(
        fmt::format("{}: {} after {} packed bytes; the lines before it were kept: get the whole "
                    "file and run the same command again",
                    shown_name(file_.path()), what, file_.bytes_read() - (end_ - begin_)));
  }
  std::uint64_t bytes_taken() const noexcept { return file_.bytes_read(); }

 private:
  RawFile file_;
  Buffer piece_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// Any number of gzip members, one after the other; zeros behind the last are padding, as gzip(1) takes them.
class GzipStream final : public InputStream {
 public:
  explicit GzipStream(RawFile file) : input_(std::move(file)) {}
  ~GzipStream() override {
    if (is_started_) inflateEnd(&stream_);
  }

  Result<std::size_t> read(MutableBytes destination) override {
    HDB_TRY(start());
    stream_.next_out = reinterpret_cast<Bytef*>(destination.data());
    stream_.avail_out = static_cast<uInt>(std::min<std::size_t>(destination.size(), kPieceBytes));
    const uInt room = stream_.avail_out;
    while (stream_.avail_out == room) {
      const ByteView packed = HDB_TRY(input_.rest());
      if (packed.empty()) {
        if (is_inside_) return input_.damaged("the gzip data is cut short");
        return std::size_t{0};
      }
      if (!is_inside_ && !HDB_TRY(begin_member(packed))) continue;
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data()));
      stream_.avail_in = static_cast<uInt>(packed.size());
      const int code = inflate(&stream_, Z_NO_FLUSH);
      input_.take(packed.size() - stream_.avail_in);
      if (code == Z_STREAM_END) {
        is_inside_ = false;
        has_ended_one_ = true;
      } else if (code != Z_OK && code != Z_BUF_ERROR) {
        failure_ = code == Z_MEM_ERROR ? Status::error(StatusCode::kOutOfMemory, "no memory to unpack gzip data")
                                       : input_.damaged("damaged gzip data");
        if (stream_.avail_out == room) return failure_;
        break;
      }
    }
    offset_ += room - stream_.avail_out;
    return std::size_t{room - stream_.avail_out};
  }
  std::uint64_t file_bytes_read() const noexcept override { return input_.bytes_taken(); }
  Packing packing() const noexcept override { return Packing::kGzip; }

 private:
  Status start() {
    if (!failure_.ok()) return failure_;
    if (is_started_) return {};
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) {
      return Status::error(StatusCode::kOutOfMemory, "no memory to unpack gzip data");
    }
    is_started_ = true;
    return {};
  }

  // False if `packed` begins with padding, which was taken.
  Result<bool> begin_member(ByteView packed) {
    const auto padding =
        std::find_if(packed.begin(), packed.end(), [](std::byte byte) { return byte != std::byte{0}; });
    if (has_ended_one_ && padding != packed.begin()) {
      input_.take(static_cast<std::size_t>(padding - packed.begin()));
      return false;
    }
    inflateReset(&stream_);
    is_inside_ = true;
    return true;
  }

  PackedInput input_;
  z_stream stream_{};
  bool is_started_ = false;
  bool is_inside_ = false;      // a member has begun and not ended
  bool has_ended_one_ = false;  // before that
  Status failure_;              // found behind bytes that were returned first
};

class ZstdStream final : public InputStream {
 public:
  explicit ZstdStream(RawFile file) : input_(std::move(file)), stream_(ZSTD_createDStream(), &ZSTD_freeDStream) {}

  Result<std::size_t> read(MutableBytes destination) override {
    if (stream_ == nullptr) return Status::error(StatusCode::kOutOfMemory, "no memory to unpack zstd data");
    ZSTD_outBuffer output{destination.data(), destination.size(), 0};
    while (output.pos == 0) {
      const ByteView packed = HDB_TRY(input_.rest());
      if (packed.empty() && !is_inside_) return std::size_t{0};
      ZSTD_inBuffer input{packed.data(), packed.size(), 0};
      const std::size_t left = ZSTD_decompressStream(stream_.get(), &output, &input);
      if (ZSTD_isError(left) != 0) {
        return input_.damaged(std::string("damaged zstd data (") + ZSTD_getErrorName(left) + ")");
      }
      input_.take(input.pos);
      is_inside_ = left != 0;
      if (packed.empty() && output.pos == 0 && is_inside_) return input_.damaged("the zstd data is cut short");
    }
    offset_ += output.pos;
    return output.pos;
  }
  std::uint64_t file_bytes_read() const noexcept override { return input_.bytes_taken(); }
  Packing packing() const noexcept override { return Packing::kZstd; }

 private:
  PackedInput input_;
  std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> stream_;
  bool is_inside_ = false;  // a frame has begun and not ended
};

}  // namespace

std::string shown_name(const std::string& path) {
  return path == "-" ? "standard input" : path;
}

void catch_interrupts() noexcept {
  struct sigaction action {};
  action.sa_handler = &on_interrupt;  // without SA_RESTART: a read that waits returns
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
}

bool is_interrupted() noexcept {
  return stopping_signal != 0;
}

Result<FileStamp> stamp_of(const std::string& path) {
  if (path == "-") return FileStamp{};
  const struct stat status = HDB_TRY(status_of(path));
  return FileStamp{.device = status.st_dev,
                   .inode = status.st_ino,
                   .bytes = static_cast<std::uint64_t>(status.st_size),
                   .modified_ns = status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
}

Result<bool> is_regular_file(const std::string& path) {
  if (path == "-") return false;
  const struct stat status = HDB_TRY(status_of(path));
  return S_ISREG(status.st_mode);
}

Status check_readable(const std::string& path) {
  if (path == "-") return {};
  if (HDB_TRY(is_regular_file(path))) {
    HDB_TRY(RawFile::open(path));
    return {};
  }
  if (::access(path.c_str(), R_OK) != 0) return file_error(path, "open", errno);
  return {};
}

Result<std::unique_ptr<InputStream>> InputStream::open(const std::string& path) {
  HDB_TRY(stamp_of(path));
  RawFile file = HDB_TRY(RawFile::open(path));
  const std::string magic(HDB_TRY(file.magic()));
  std::unique_ptr<InputStream> stream;
  if (magic.starts_with(kGzipMagic)) {
    stream = std::make_unique<GzipStream>(std::move(file));
  } else if (magic == kZstdMagic) {
    stream = std::make_unique<ZstdStream>(std::move(file));
  } else {
    stream = std::make_unique<PlainStream>(std::move(file));
  }
  return stream;
}

Status InputStream::skip_to(std::uint64_t offset) {
  Buffer skipped(kPieceBytes);
  while (offset_ < offset) {
    const std::uint64_t count = std::min<std::uint64_t>(skipped.size(), offset - offset_);
    if (HDB_TRY(read(MutableBytes(skipped).first(static_cast<std::size_t>(count)))) == 0) break;
  }
  return {};
}

}  // namespace hdb::cli
