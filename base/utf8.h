// base/utf8.h: whether text is UTF-8 (RFC 3629: shortest forms, no surrogates).
#pragma once

#include <string_view>

namespace hdb {

bool is_utf8(std::string_view text) noexcept;

}  // namespace hdb
