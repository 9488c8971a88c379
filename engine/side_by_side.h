// engine/side_by_side.h: the parts of one task in several threads, as far as they are free.
#pragma once

#include <functional>
#include <vector>

#include <hdb/status.h>

#include "engine/background.h"

namespace hdb {

// Runs `parts`, in order but for what runs at once, in the calling thread and in tasks of `priority`. The caller takes
// what no task has begun, so that it waits for none to begin. Once a part has failed no further one begins. Returns
// when none runs any more, with the error of the first that failed in order; std::bad_alloc in a part is kOutOfMemory.
Status run_side_by_side(Background& background, Background::Priority priority,
                        std::vector<std::function<Status()>> parts);

}  // namespace hdb
