// Errors as values: Status, Result<T> and the macros that pass them on.
//
// Every fallible function in Tailrace returns one of these; no exception leaves the library. A
// Status is for what may go wrong in a correct program (bad input, damaged bytes, a full disk). A
// broken invariant of our own is never a Status: see wal/check.h.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "wal/check.h"

namespace tailrace {

// What kind of failure a Status reports. The kind says what a caller may do about it; the message
// names the cause and, where there is one, the cure.
enum class StatusCode {
  kOk,
  kInvalidArgument,     // The call's own arguments break a documented rule; nothing was changed.
  kNotFound,            // The named table, stream, shard or file does not exist.
  kAlreadyExists,       // The name is taken.
  kFailedPrecondition,  // The call is valid but not in this state (no stream to disable, say).
  kBusy,                // Somebody else holds the store, or a limit is reached; try again later.
  kNoSpace,             // The disk or a named limit is full; nothing was changed.
  kIoError,             // The operating system refused a read or a write.
  kCorruption,          // Bytes once known good are damaged; the message has the place.
  kUnsupported,         // A format version or an option that this build does not know.
  kReadOnly,            // An earlier write or sync failed; writes are refused until reopened.
  kOutcomeUnknown,      // The write may or may not survive: its sync failed or was cut short.
  kClosed,              // The object was closed while the call waited, or before it.
};

// The code's name as it is printed ("corruption"). Never null.
std::string_view StatusCodeName(StatusCode code);

// The outcome of an operation: OK, or a code with a message for people. Cheap to move.
// Thread-compatible: const methods may be called from many threads.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {
    TAILRACE_CHECK(code != StatusCode::kOk, "an error Status needs an error code");
  }
  static Status Ok() { return {}; }

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

  // "corruption: segment 000…040.seg, offset 8192: payload hash differs", or "ok".
  std::string ToString() const;

  // The same failure with `where` put before the message ("where: message"). OK stays OK.
  Status WithContext(std::string_view where) const;

  friend bool operator==(const Status& a, const Status& b) = default;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

Status InvalidArgument(std::string message);
Status NotFound(std::string message);
Status AlreadyExists(std::string message);
Status FailedPrecondition(std::string message);
Status Busy(std::string message);
Status NoSpace(std::string message);
Status IoError(std::string message);
Status Corruption(std::string message);
Status Unsupported(std::string message);
Status ReadOnly(std::string message);
Status OutcomeUnknown(std::string message);
Status Closed(std::string message);

// A value, or the Status that says why there is none. Reading the value of a failed Result is a bug
// and stops the process.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}        // NOLINT: implicit
  Result(Status status) : state_(std::in_place_index<1>, std::move(status)) {  // NOLINT: implicit
    TAILRACE_CHECK(!std::get<1>(state_).ok(), "a Result without a value needs an error");
  }

  bool ok() const { return state_.index() == 0; }
  Status status() const { return ok() ? Status::Ok() : std::get<1>(state_); }

  T& value() & { return Checked(); }
  const T& value() const& { return const_cast<Result*>(this)->Checked(); }
  // By value: the elements of `for (auto& x : F().value())` must outlive the temporary Result.
  T value() && { return std::move(Checked()); }
  T& operator*() & { return Checked(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(Checked()); }
  T* operator->() { return &Checked(); }
  const T* operator->() const { return &value(); }

 private:
  T& Checked() {
    if (!ok()) CheckFailed(__FILE__, __LINE__, "Result::ok()", std::get<1>(state_).ToString());
    return std::get<0>(state_);
  }

  std::variant<T, Status> state_;
};

}  // namespace tailrace

#define TAILRACE_CONCAT_INNER(a, b) a##b
#define TAILRACE_CONCAT(a, b) TAILRACE_CONCAT_INNER(a, b)

// Returns from the enclosing function with the Status of `expression` unless it is OK.
#define TAILRACE_RETURN_IF_ERROR(expression)             \
  do {                                                   \
    ::tailrace::Status tailrace_status_ = (expression);  \
    if (!tailrace_status_.ok()) return tailrace_status_; \
  } while (false)

// Evaluates a Result; assigns its value to `declaration`, or returns its Status.
//   TAILRACE_ASSIGN_OR_RETURN(auto file, fs.Open(path, OpenMode::kRead));
#define TAILRACE_ASSIGN_OR_RETURN(declaration, expression)                                  \
  TAILRACE_ASSIGN_OR_RETURN_INNER(TAILRACE_CONCAT(tailrace_result_, __LINE__), declaration, \
                                  expression)
#define TAILRACE_ASSIGN_OR_RETURN_INNER(result, declaration, expression) \
  auto result = (expression);                                            \
  if (!result.ok()) return result.status();                              \
  declaration = std::move(result).value()
