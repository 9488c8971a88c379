// tests/fuzz/samples.h: small things of each kind, always the same: what the inputs of the corpus are made of.
#pragma once

#include <cstddef>

#include "base/bytes.h"
#include "io/env.h"

namespace hdb::fuzz {

inline constexpr std::size_t kSampleEvents = 5;

// The events differ in what they have: id, time, texts, tags, metadata, payload. index % kSampleEvents chooses.
Buffer sample_record(std::size_t index);

// The first `events` sample events and as many changes: at least one of either.
Buffer sample_batch(std::size_t events, std::size_t changes, bool with_leaf_hashes = false);

inline constexpr const char* kSampleStore = "store";

// Makes the directories of kSampleStore.
void make_directories(Env& env);
// Puts a file there, durably.
void put_file(Env& env, const std::string& path, ByteView bytes);
// Without the zeros at its end, of which a log has many.
Buffer file_without_padding(Env& env, const std::string& path);

}  // namespace hdb::fuzz
