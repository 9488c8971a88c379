#include "tools/dump/salvage_report.h"

#include <algorithm>

#include "tools/dump/survey_store.h"

namespace hdb::dump {

namespace {

std::string printable(ByteView bytes) {
  constexpr std::size_t kShown = 64;
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : bytes.first(std::min(bytes.size(), kShown))) {
    const auto letter = static_cast<unsigned char>(byte);
    if (letter >= 0x20 && letter < 0x7f && letter != '\\') {
      text += static_cast<char>(letter);
    } else {
      text += {'\\', 'x', kDigits[letter >> 4], kDigits[letter & 15]};
    }
  }
  return bytes.size() > kShown ? text + "..." : text;
}

std::string key_text(const compaction::ManifestState& state, const Buffer& stored) {
  if (stored.size() < kKeyspacePrefixBytes) return "?";
  const std::uint32_t id = load_be32(stored.data());
  std::string name = std::to_string(id);
  for (const auto& keyspace : state.keyspaces) {
    if (keyspace.id == id) name = keyspace.name;
  }
  return name + "/" + printable(bytes_of(stored).subspan(kKeyspacePrefixBytes));
}

void tell_keyspaces(const SalvageReport& report, const Sink& sink) {
  const std::string what = report.has_unproved_keys ? "may be missing, or older than they were, " : "may be missing ";
  if (report.is_every_keyspace_doubtful) {
    sink("doubt   keys " + what + "in every keyspace, and names of keyspaces may be lost");
  } else if (!report.doubtful_keyspaces.empty()) {
    std::string names;
    for (const std::string& name : report.doubtful_keyspaces) names += (names.empty() ? "" : ", ") + name;
    sink("doubt   keys " + what + "in keyspaces: " + names);
  }
}

}  // namespace

void tell(const SalvageReport& report, const compaction::ManifestState& state, const Sink& sink) {
  for (const Damage& damage : report.damages) {
    sink("damaged " + damage.what + (damage.bytes > 0 ? " (" + std::to_string(damage.bytes) + " bytes)" : ""));
  }
  for (const LostPositions& lost : report.lost_positions) {
    sink("lost    positions " + std::to_string(lost.begin) + " to " + std::to_string(lost.end - 1) + ": " +
         std::to_string(lost.end - lost.begin) + " events");
  }
  for (const DoubtfulKeys& keys : report.doubtful_keys) {
    sink("lost    versions of keys " + key_text(state, keys.from) + " to " + key_text(state, keys.to));
  }
  for (const LostPositions& lost : report.lost_before) {
    sink("lost before positions " + std::to_string(lost.begin) + " to " + std::to_string(lost.end - 1) + ": " +
         std::to_string(lost.end - lost.begin) + " events, since an earlier repair");
  }
  if (report.lost_changes > 0) {
    sink("lost    " + std::to_string(report.lost_changes) + " changes of keys in the log: nothing tells of which");
  }
  if (report.is_log_end_lost) {
    sink("lost    what the log held behind position " + std::to_string(report.position_end) +
         ", if anything: nothing tells how much");
  }
  if (report.unproved_key_versions > 0) {
    sink("left    " + std::to_string(report.unproved_key_versions) +
         " versions of keys out: nothing proves that they are the newest");
  }
  if (!report.is_manifest_sound) {
    sink("doubt   events behind position " + std::to_string(report.position_end) +
         ", if there were any: only a sound manifest tells where they ended");
  }
  tell_keyspaces(report, sink);
  if (report.torn_bytes > 0) {
    sink("torn    " + std::to_string(report.torn_bytes) + " bytes at the end of the log, as an open would cut them");
  }
}

std::uint64_t SalvageReport::lost_events() const noexcept {
  std::uint64_t lost = 0;
  for (const LostPositions& range : lost_positions) lost += range.end - range.begin;
  return lost;
}

std::uint64_t SalvageReport::lost_before_events() const noexcept {
  std::uint64_t lost = 0;
  for (const LostPositions& range : lost_before) lost += range.end - range.begin;
  return lost;
}

std::uint64_t SalvageReport::damaged_bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const Damage& damage : damages) bytes += damage.bytes;
  return bytes;
}

bool SalvageReport::is_whole() const noexcept {
  return damages.empty() && lost_positions.empty() && doubtful_keys.empty() && lost_key_versions == 0 &&
         unproved_key_versions == 0 && lost_changes == 0 && !is_log_end_lost;
}

std::string summary_of(const SalvageReport& report) {
  const std::uint64_t lost_before = report.lost_before_events();
  std::string text = std::to_string(report.events - lost_before) + " events and " +
                     std::to_string(report.key_versions) + " versions of keys are intact; ";
  if (report.is_whole()) {
    text += "nothing is lost";
    if (report.torn_bytes > 0) text += " but the torn tail of the log";
  } else {
    text += "lost: " + std::to_string(report.lost_events()) + " events, " +
            std::to_string(report.lost_key_versions + report.lost_changes) + " versions of keys; " +
            std::to_string(report.damaged_bytes()) + " bytes cannot be read";
  }
  if (report.unplaced_events > 0) {
    text += "; left out: " + std::to_string(report.unplaced_events) + " events whose positions nothing proves";
  }
  if (report.is_log_end_lost) text += "; the end of the log is lost, and nothing tells how much it held";
  if (report.unproved_key_versions > 0) {
    text += "; left out: " + std::to_string(report.unproved_key_versions) +
            " versions of keys that may not be the newest (--unproved-keys takes them)";
  }
  if (lost_before > 0) text += "; " + std::to_string(lost_before) + " events were lost before an earlier repair";
  return text;
}

}  // namespace hdb::dump
