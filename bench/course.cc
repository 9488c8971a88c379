#include "bench/course.h"

namespace hdb::bench {

std::vector<Timeline::Point> Timeline::points() const {
  std::vector<Point> points;
  if (end_ns_ == 0) return points;
  const double end = end_s();
  const double step_s = static_cast<double>(std::uint64_t{1} << shift_) * 1e-9;
  // A last point of less than half a step would say more of how its end fell than of the rate: it joins the one before.
  const auto steps = std::max<std::size_t>(1, static_cast<std::size_t>(end / step_s + 0.5));
  for (std::size_t step = 0; step < std::min(steps, kPoints); ++step) {
    const bool is_last = step + 1 == std::min(steps, kPoints);
    std::uint64_t count = counts_[step];
    if (is_last && step + 1 < kPoints) count += counts_[step + 1];
    const double begin_s = static_cast<double>(step) * step_s;
    const double point_end_s = is_last ? end : begin_s + step_s;
    points.push_back({(begin_s + point_end_s) / 2, static_cast<double>(count) / (point_end_s - begin_s)});
  }
  return points;
}

}  // namespace hdb::bench
