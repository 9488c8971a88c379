// hdb/status.h: the one way a call reports failure.
//
// Status is OK or an error; Result<T> is a T or an error. Neither may be ignored. Operating errors (IO, damage, bad
// arguments, full disk) travel as Status; a broken invariant is a bug and aborts through HDB_CHECK.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#if defined(__GNUC__)
#define HDB_EXPORT __attribute__((visibility("default")))
#else
#define HDB_EXPORT
#endif

namespace hdb {

[[noreturn]] inline void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: invariant broken: %s\n", file, line, condition);
  std::abort();
}

// Aborts when `condition` is false, in every build: going on with a broken invariant could damage the store.
#define HDB_CHECK(condition) \
  (static_cast<bool>(condition) ? void(0) : ::hdb::check_failed(#condition, __FILE__, __LINE__))

enum class StatusCode : std::uint8_t {
  kOk,
  kNotFound,         // a named file, directory or keyspace is missing; an absent event is an empty optional instead
  kInvalidArgument,  // the caller can fix it
  kConflict,         // the id exists with other content
  kCorruption,       // stored bytes are not what was written
  kIoError,          // the system said no; errno text in the message
  kNoSpace,          // free space and retry; nothing was lost
  kBusy,             // locked by another process, or still in use; retry later
  kUnsupported,      // written by a newer version, or a feature not built in
  kClosed,           // the engine was closed, or refuses writes: opened read-only, or after an earlier error
  kLost,             // the event was damaged and is not in the copy that 'hdb repair' made
  kOutOfMemory,      // an allocation failed; the call had no effect, unless the message says "outcome unknown"
};

// "kCorruption" without the k, in lower case: "corruption".
HDB_EXPORT std::string_view status_code_name(StatusCode code) noexcept;

// Immutable; copies share the message. Success costs one pointer test.
class [[nodiscard]] Status {
 public:
  Status() noexcept = default;  // OK
  static Status error(StatusCode code, std::string message) {
    HDB_CHECK(code != StatusCode::kOk);
    Status status;
    status.rep_ = std::make_shared<const Rep>(Rep{code, std::move(message)});
    return status;
  }
  static Status not_found(std::string message) { return error(StatusCode::kNotFound, std::move(message)); }
  static Status invalid_argument(std::string message) {
    return error(StatusCode::kInvalidArgument, std::move(message));
  }
  static Status corruption(std::string message) { return error(StatusCode::kCorruption, std::move(message)); }
  static Status io_error(std::string message) { return error(StatusCode::kIoError, std::move(message)); }
  static Status unsupported(std::string message) { return error(StatusCode::kUnsupported, std::move(message)); }

  bool ok() const noexcept { return rep_ == nullptr; }
  StatusCode code() const noexcept { return ok() ? StatusCode::kOk : rep_->code; }
  std::string_view message() const noexcept { return ok() ? std::string_view() : rep_->message; }
  Status status() && noexcept { return std::move(*this); }

  // The same error with "where: " in front, for a layer that knows more than the one below. OK stays OK.
  Status in_context(std::string_view where) const {
    return ok() ? *this : error(rep_->code, std::string(where) + ": " + rep_->message);
  }

 private:
  struct Rep {
    StatusCode code;
    std::string message;
  };
  std::shared_ptr<const Rep> rep_;
};

// A T, or the error that kept it from being made.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Status error) : state_(std::in_place_index<1>, std::move(error)) {
    HDB_CHECK(!std::get<1>(state_).ok());  // "an error that is OK" is a bug in the callee
  }

  bool ok() const noexcept { return state_.index() == 0; }
  const T& value() const& {
    HDB_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  T& value() & {
    HDB_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    HDB_CHECK(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  const T& operator*() const& { return value(); }
  T& operator*() & { return value(); }
  const T* operator->() const { return &value(); }
  T* operator->() { return &value(); }
  Status status() const& { return ok() ? Status() : *std::get_if<1>(&state_); }
  Status status() && { return ok() ? Status() : std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, Status> state_;
};

// Drops an error on purpose; `why` is for the reader.
inline void ignore(const Status&, [[maybe_unused]] const char* why) noexcept {}

namespace detail {
inline void take(Status&&) noexcept {}
template <typename T>
T take(Result<T>&& result) {
  return std::move(result).value();
}
}  // namespace detail

}  // namespace hdb

// Evaluates to the value of `expression` (a Result or Status), or returns its error from the enclosing function.
#define HDB_TRY(expression)                         \
  __extension__({                                   \
    auto hdb_try_result = (expression);             \
    if (!hdb_try_result.ok()) [[unlikely]]          \
      return std::move(hdb_try_result).status();    \
    ::hdb::detail::take(std::move(hdb_try_result)); \
  })
