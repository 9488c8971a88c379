// engine/ready_errors.h: the errors of running out of memory, made when the program starts.
#pragma once

#include <hdb/status.h>

namespace hdb {

// kOutOfMemory: the call had no effect.
const Status& out_of_memory() noexcept;
// kOutOfMemory: a batch is in the log, so it comes back at the next open, but not in a memtable; nothing behind it can
// become visible before that.
const Status& logged_but_not_applied() noexcept;
// kClosed: the error of writes after an error whose own text found no memory.
const Status& writes_refused() noexcept;

// Runs `call`, which returns a Status and may run out of memory. For threads whose exceptions nobody catches.
template <typename Call>
Status without_exceptions(Call call) noexcept {
  try {
    return call();
  } catch (...) {
    return out_of_memory();
  }
}

}  // namespace hdb
