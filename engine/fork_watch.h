// engine/fork_watch.h: tells a process from the child it forked, which has its memory but not its threads.
#pragma once

#include <cstdint>

namespace hdb {

// Another number in a forked child than in its parent. Cheap: asked at every call of the API.
std::uint32_t process_generation() noexcept;

}  // namespace hdb
