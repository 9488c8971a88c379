// sstable/attribute_index_builder.h: gathers the terms of a table's events, and writes them as its attribute index.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/postings.h"
#include "base/record.h"
#include "sstable/format.h"
#include "sstable/table_settings.h"

namespace hdb::sstable {

class TableWriter;

// The distinct terms of one attribute, and which events have them. Single-owner.
class TermTable {
 public:
  // hash64 of the term, for add(). What add() looks at is on its way to the processor's cache when other terms are
  // hashed before it is called.
  std::uint64_t prepare(std::string_view term) const noexcept;
  // Positions never decrease from call to call. The text is copied when it is new.
  void add(std::string_view term, std::uint64_t hash, std::uint32_t position);

  std::uint64_t terms() const noexcept { return terms_.size(); }
  std::uint64_t postings() const noexcept { return pairs_.size(); }
  std::uint64_t text_bytes() const noexcept { return text_bytes_; }

  // hash64 of each term, in no order.
  std::vector<std::uint64_t> hashes() const;
  // Calls visit(key, positions) for each dictionary entry in key order, positions ascending. `key` is the term, or its
  // fingerprint of `fingerprint_bytes`; terms of one fingerprint share an entry. Stops at the first error and returns
  // it.
  Status for_each(TermForm form, std::uint8_t fingerprint_bytes,
                  const std::function<Status(ByteView key, std::span<const std::uint32_t> positions)>& visit) const;

 private:
  // One line of the cache, with the text of all but long terms.
  struct alignas(64) Term {
    std::uint64_t hash;
    std::uint32_t postings;
    std::uint32_t last_position;
    std::uint32_t text_bytes;
    std::array<char, 44> text;  // or its u64 offset in long_texts_
  };
  struct Slot {
    std::uint32_t term;       // index of a term plus 1, or 0
    std::uint32_t high_hash;  // the high half of its hash
  };
  struct Pair {
    std::uint32_t term;
    std::uint32_t position;
  };
  struct Ordered;

  std::string_view text_of(const Term& term) const noexcept;
  std::uint32_t find_or_add(std::string_view term, std::uint64_t hash);
  std::uint32_t append(std::string_view term, std::uint64_t hash);
  void grow();
  std::vector<Ordered> in_order(TermForm form) const;

  std::vector<Term> terms_;
  std::vector<char> long_texts_;
  std::uint64_t text_bytes_ = 0;
  std::vector<Pair> pairs_;  // by position
  std::vector<Slot> slots_;  // open addressing by the low half of the hash; a power of two, or empty
};

// The fewest bytes, 4 to 8, of which the first of all hashes differ; 8 if none do.
std::uint8_t fingerprint_bytes_for(std::vector<std::uint64_t> hashes);

// The first bytes of a hash, big-endian: in this order fingerprints sort as their hashes do.
Buffer fingerprint_of(std::uint64_t hash, std::uint8_t bytes);

// Single-owner.
class AttributeIndexBuilder {
 public:
  // Positions ascend, relative to the table's first.
  void add(std::uint32_t position, const RecordView& record);

  // Text, or, where there are many terms with few events each, fingerprints: they take less, and are confirmed on the
  // record. Ids are always fingerprints.
  std::array<AttributeProperties, kAttributes> choose_forms() const;

  // Writes postings, dictionary and filter of ids, and enters them into `properties`.
  Status write(TableWriter& writer, const TableSettings& settings, Properties& properties) const;

  const TermTable& terms(Attribute attribute) const noexcept {
    return tables_[static_cast<std::size_t>(attribute) - 1];
  }

 private:
  struct Found {
    TermTable* table;
    std::string_view term;
    std::uint64_t hash;
  };

  std::array<TermTable, kAttributes> tables_;  // by Attribute - 1
  std::vector<Found> found_;                   // in the record being added
};

}  // namespace hdb::sstable
