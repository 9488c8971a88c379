// bench/figures.h: what a run showed, as named figures, for workloads that print just those.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "bench/course.h"
#include "bench/result.h"

namespace hdb::bench {

enum class FigureKind : std::uint8_t {
  kGiven,   // as the run was asked for, a whole number
  kAmount,  // a whole number, better neither high nor low
  kPart,    // of another figure, better neither high nor low
  kRate,    // better high
  kCost,    // better low
};

struct Figure {
  const char* name = nullptr;  // a literal, which is where it was after a fork
  FigureKind kind = FigureKind::kAmount;
  double value = 0;
};

// In the order in which they are printed. Single-owner.
class Figures {
 public:
  Figures& given(const char* name, std::uint64_t value) { return add(name, FigureKind::kGiven, value); }
  Figures& amount(const char* name, std::uint64_t value) { return add(name, FigureKind::kAmount, value); }
  Figures& part(const char* name, double value) { return add({name, FigureKind::kPart, value}); }
  Figures& rate(const char* name, double value) { return add({name, FigureKind::kRate, value}); }
  Figures& cost(const char* name, double value) { return add({name, FigureKind::kCost, value}); }

  std::span<const Figure> all() const { return std::span(figures_).first(count_); }
  double first_rate() const;  // 0 if there is none
  double headline() const;    // the first rate or cost; 0 if there is none

 private:
  Figures& add(const char* name, FigureKind kind, std::uint64_t value) {
    return add({name, kind, static_cast<double>(value)});
  }
  Figures& add(const Figure& figure);

  std::array<Figure, 32> figures_{};
  std::size_t count_ = 0;
};

// Those that a report plots. Single-owner.
class Courses {
 public:
  void add(const Course& course);
  std::span<const Course> all() const { return std::span(courses_).first(count_); }

 private:
  std::array<Course, 4> courses_{};
  std::size_t count_ = 0;
};

// Travels from the forked child that ran the engine to its parent through a pipe: trivially copyable.
struct FigureMeasurement {
  Figures figures;
  Courses courses;           // the same ones in every engine
  bool is_verified = false;  // all read back, byte for byte, after a reopen, and whatever was timed returned the same
};
static_assert(std::is_trivially_copyable_v<FigureMeasurement>);

struct FigureResult {
  RunLabel label;
  FigureMeasurement measured;
};

std::string to_json(const FigureResult& result);
std::string to_text(const FigureResult& result);

// One ratio per peer among the results, of rates and costs; none without hdb among them.
std::vector<Ratio> ratios_of(std::span<const FigureResult> results);

}  // namespace hdb::bench
