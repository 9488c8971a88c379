// base/toml.h: the TOML parser, set up so that no file of somebody else's can stop the process. It reports errors by
// its result: it throws nothing.
#pragma once

// The library in the distribution is built with exceptions; the header alone, without.
#undef TOML_HEADER_ONLY
#undef TOML_SHARED_LIB
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
// It asserts what malformed files break, such as "[[[", and reports them behind that.
#define TOML_ASSERT(condition) static_assert(true)

// Its classes of characters have branches, thought to be unreachable, that letters in a bare key do reach, such as "é":
// these are of no such class.
#include <toml++/impl/forward_declarations.h>
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE return false
#include <toml++/impl/unicode.h>
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE __builtin_unreachable()

#include <toml++/toml.h>
