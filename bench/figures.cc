#include "bench/figures.h"

#include <algorithm>

#include <fmt/format.h>

#include "bench/statistics.h"

namespace hdb::bench {

namespace {

bool is_whole(const Figure& figure) {
  return figure.kind == FigureKind::kGiven || figure.kind == FigureKind::kAmount;
}
bool is_compared(const Figure& figure) {
  return figure.kind == FigureKind::kRate || figure.kind == FigureKind::kCost;
}

// The median over the rounds of the figure number `index`, which is the same one in every engine.
double median_of(std::span<const FigureResult> results, std::string_view engine, std::size_t index) {
  std::vector<double> values;
  for (const FigureResult& result : results) {
    if (result.label.engine == engine) values.push_back(result.measured.figures.all()[index].value);
  }
  return values.empty() ? 0 : median(std::move(values));
}

}  // namespace

Figures& Figures::add(const Figure& figure) {
  HDB_CHECK(count_ < figures_.size());
  figures_[count_++] = figure;
  return *this;
}

double Figures::first_rate() const {
  for (const Figure& figure : all()) {
    if (figure.kind == FigureKind::kRate) return figure.value;
  }
  return 0;
}

double Figures::headline() const {
  const auto figure = std::find_if(figures_.begin(), figures_.begin() + count_, is_compared);
  return figure == figures_.begin() + count_ ? 0 : figure->value;
}

void Courses::add(const Course& course) {
  HDB_CHECK(count_ < courses_.size());
  courses_[count_++] = course;
}

std::string to_json(const FigureResult& result) {
  JsonObject json;
  add_label(json, result.label);
  for (const Figure& figure : result.measured.figures.all()) {
    if (is_whole(figure)) {
      json.number(figure.name, static_cast<std::uint64_t>(figure.value));
    } else {
      json.number(figure.name, figure.value);
    }
  }
  json.boolean("verified", result.measured.is_verified);
  return json.finish();
}

std::string to_text(const FigureResult& result) {
  std::string text = fmt::format("{:<20} round {} ", name_of(result.label), result.label.round);
  for (const Figure& figure : result.measured.figures.all()) {
    if (figure.kind == FigureKind::kGiven) continue;
    const bool is_fraction = !is_whole(figure) && figure.value < 1000;
    text += is_fraction ? fmt::format(" {} {:.4g},", figure.name, figure.value)
                        : fmt::format(" {} {:.0f},", figure.name, figure.value);
  }
  return text + (result.measured.is_verified ? " verified" : " NOT VERIFIED");
}

std::vector<Ratio> ratios_of(std::span<const FigureResult> results) {
  std::vector<Ratio> ratios;
  const std::span<const Figure> figures = results.front().measured.figures.all();
  for (const std::string& peer : peers_of_hdb(results)) {
    Ratio ratio{results.front().label.workload, peer, {}};
    for (std::size_t index = 0; index < figures.size(); ++index) {
      const double ours = median_of(results, "hdb", index);
      const double theirs = median_of(results, peer, index);
      if (!is_compared(figures[index]) || ours <= 0 || theirs <= 0) continue;
      const bool is_more_better = figures[index].kind == FigureKind::kRate;
      ratio.figures.emplace_back(figures[index].name, is_more_better ? ours / theirs : theirs / ours);
    }
    ratios.push_back(std::move(ratio));
  }
  return ratios;
}

}  // namespace hdb::bench
