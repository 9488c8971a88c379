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
  // Positions never decrease from call to call. The text is copied when it is new.
  void add(std::string_view term, std::uint32_t position);

  std::uint64_t terms() const noexcept { return terms_.size(); }
  std::uint64_t postings() const noexcept { return pairs_.size(); }
  std::uint64_t text_bytes() const noexcept { return text_.size(); }

  // hash64 of each term, in no order.
  std::vector<std::uint64_t> hashes() const;
  // Calls visit(key, positions) for each dictionary entry in key order. `key` is the term, or its fingerprint of
  // `fingerprint_bytes`; terms of one fingerprint share an entry. Stops at the first error and returns it.
  Status for_each(TermForm form, std::uint8_t fingerprint_bytes,
                  const std::function<Status(ByteView key, const PositionSet& positions)>& visit) const;

 private:
  struct Term {
    std::uint64_t hash;
    std::uint64_t text_offset;
    std::uint32_t text_bytes;
    std::uint32_t postings;
    std::uint32_t last_position;
  };
  struct Pair {
    std::uint32_t term;
    std::uint32_t position;
  };

  std::string_view text_of(const Term& term) const noexcept {
    return {text_.data() + term.text_offset, term.text_bytes};
  }
  std::uint32_t find_or_add(std::string_view term);
  void grow();

  std::vector<char> text_;
  std::vector<Term> terms_;
  std::vector<Pair> pairs_;              // by position
  std::vector<std::uint32_t> slots_;     // open addressing by hash: index of a term plus 1, or 0; a power of two
  std::uint32_t previous_ = UINT32_MAX;  // term of the last add: neighbours often have the same
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
  std::array<TermTable, kAttributes> tables_;  // by Attribute - 1
};

}  // namespace hdb::sstable
