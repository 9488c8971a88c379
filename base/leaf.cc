#include "base/leaf.h"

namespace hdb {

namespace {

constexpr std::size_t kFieldHeaderBytes = 5;

struct TaggedText {
  LeafTag tag;
  TextField field;
};
constexpr std::array<TaggedText, kTextFields> kTexts = {{{LeafTag::kType, TextField::kType},
                                                         {LeafTag::kEntity, TextField::kEntity},
                                                         {LeafTag::kHost, TextField::kHost},
                                                         {LeafTag::kStream, TextField::kStream},
                                                         {LeafTag::kSource, TextField::kSource},
                                                         {LeafTag::kCollector, TextField::kCollector},
                                                         {LeafTag::kFormat, TextField::kFormat},
                                                         {LeafTag::kContentType, TextField::kContentType},
                                                         {LeafTag::kSchema, TextField::kSchema}}};

// At most this many are put in front of the payload's bytes. Time and id are in the record's header.
std::size_t head_bytes_max(const RecordView& record) noexcept {
  constexpr std::size_t kFieldsMax = 2 + kTextFields + kTagsMax + 2;
  return 2 + kFieldsMax * kFieldHeaderBytes + record.bytes().size() - record.payload().size();
}

std::byte* put_field_header(std::byte* at, LeafTag tag, std::size_t bytes) noexcept {
  store(at, tag);
  store(at + 1, static_cast<std::uint32_t>(bytes));
  return at + kFieldHeaderBytes;
}

std::byte* put_field(std::byte* at, LeafTag tag, ByteView bytes) noexcept {
  at = put_field_header(at, tag, bytes.size());
  std::memcpy(at, bytes.data(), bytes.size());
  return at + bytes.size();
}

std::byte* put_text(std::byte* at, LeafTag tag, std::string_view text) noexcept {
  return text.empty() ? at : put_field(at, tag, as_bytes(text));
}

// Returns its end.
std::byte* put_head(std::byte* at, const RecordView& record) noexcept {
  *at++ = kLeafPrefix;
  store(at++, kLeafVersion);
  const std::int64_t time = record.time().time_since_epoch().count();
  at = put_field_header(at, record.time_is_default() ? LeafTag::kAppendTime : LeafTag::kTime, sizeof time);
  store(at, time);
  at += sizeof time;
  if (record.has_caller_id()) {
    const EventId id = record.id(0);
    at = put_field(at, LeafTag::kId, std::as_bytes(std::span(id.bytes())));
  }
  for (const auto& [tag, field] : kTexts) at = put_text(at, tag, record.text(field));
  record.for_each_tag([&at](std::string_view tag) { at = put_field(at, LeafTag::kEventTag, as_bytes(tag)); });
  at = put_text(at, LeafTag::kMetadata, record.metadata());
  if (!record.payload().empty()) at = put_field_header(at, LeafTag::kPayload, record.payload().size());
  return at;
}

}  // namespace

LeafHash LeafHasher::hash(const RecordView& record) {
  HDB_CHECK(record.kind() == RecordKind::kEvent);
  if (const std::size_t bytes = head_bytes_max(record); head_.size() < bytes) head_.resize(bytes);
  const std::byte* const end = put_head(head_.data(), record);
  HDB_CHECK(end <= head_.data() + head_.size());
  return sha256({ByteView(head_.data(), end), record.payload()});
}

}  // namespace hdb
