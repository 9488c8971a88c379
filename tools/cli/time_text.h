// tools/cli/time_text.h: times as people and logs write them.
//
//   2018-03-24T17:15:20.600725Z   RFC 3339; also "+02:00", "+0200", a blank for the T, and 0..9 decimals
//   2018-03-24                    midnight, UTC
//   1521911720.600725             epoch: seconds, or ms, µs, ns by the number of digits; decimals are exact
//   -15m, -2h, -7d, -30s, -1w     relative to now; where a caller allows it
#pragma once

#include <string>
#include <string_view>

#include <hdb/event.h>

namespace hdb::cli {

// RFC 3339 or epoch. An epoch number counts seconds below 10^11, ms below 10^14, µs below 10^17, else ns: so each unit
// reaches from 1973 to 5138. Decimals beyond a nanosecond are dropped. kInvalidArgument shows what is accepted.
Result<Timestamp> parse_time(std::string_view text);

// As parse_time, or relative to `now`.
Result<Timestamp> parse_time(std::string_view text, Timestamp now);

// "2018-03-24T17:15:20.600725Z": as many decimals as needed, in groups of three.
std::string format_time(Timestamp time);

}  // namespace hdb::cli
