// tools/program/program.h: what a program of HDB's own does first and last. The library does none of this to its host.
#pragma once

#include <hdb/status.h>

namespace hdb {

// First: a closed standard descriptor is occupied, so that no file of a store gets its number and takes up what is
// printed (reading or writing there fails); and a file-size limit is an error of the write, not a signal.
void prepare_program() noexcept;

// Last: everything printed has reached standard output. Otherwise kIoError with the reason.
Status finish_output();

}  // namespace hdb
