#include "bench/report_html.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "io/env.h"

namespace hdb::bench {

namespace {

// A plot's area in its SVG, in pixels.
constexpr double kLeft = 70, kTop = 20, kWidth = 560, kHeight = 220, kBottom = 50;
// That of the bars of one figure.
constexpr double kBarsWidth = 240, kBarsHeight = 120;
constexpr double kLatencyMinUs = 0.01;  // below, the logarithmic plot has no place

// As many as there are engines.
constexpr std::array<const char*, 4> kColours = {"#1f6feb", "#d1701a", "#3a8a4d", "#8250df"};

const char* colour_of(std::size_t engine) {
  return kColours[engine % kColours.size()];
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char letter : text) {
    if (letter == '<') {
      result += "&lt;";
    } else if (letter == '>') {
      result += "&gt;";
    } else if (letter == '&') {
      result += "&amp;";
    } else {
      result += letter;
    }
  }
  return result;
}

// "1.5 M", "220 K"
std::string short_number(double value) {
  constexpr std::pair<double, const char*> kUnits[] = {{1e9, " G"}, {1e6, " M"}, {1e3, " K"}};
  for (const auto& [unit, name] : kUnits) {
    if (value >= 0.9995 * unit) return fmt::format("{:.3g}{}", value / unit, name);
  }
  return fmt::format("{:.3g}", value);
}

struct Line {
  std::string name;
  std::vector<double> xs;  // [0, 1]: share of the width
  std::vector<double> ys;
};

struct Tick {
  double at;  // [0, 1]
  std::string text;
};

std::string svg_open(std::string_view title) {
  return fmt::format("<h2>{}</h2>\n<svg viewBox='0 0 {} {}' role='img' aria-label='{}'>\n", title, kLeft + kWidth + 20,
                     kTop + kHeight + kBottom, title);
}

double x_at(double share) {
  return kLeft + share * kWidth;
}
double y_at(double share) {
  return kTop + (1 - share) * kHeight;
}

std::string axes(const std::vector<Tick>& x_ticks, const std::vector<Tick>& y_ticks) {
  std::string svg;
  for (const Tick& tick : y_ticks) {
    svg += fmt::format("<line class='grid' x1='{0}' x2='{1}' y1='{2:.1f}' y2='{2:.1f}'/>", kLeft, kLeft + kWidth,
                       y_at(tick.at));
    svg +=
        fmt::format("<text x='{}' y='{:.1f}' text-anchor='end'>{}</text>\n", kLeft - 6, y_at(tick.at) + 4, tick.text);
  }
  for (const Tick& tick : x_ticks) {
    svg += fmt::format("<text x='{:.1f}' y='{}' text-anchor='middle'>{}</text>\n", x_at(tick.at), kTop + kHeight + 16,
                       tick.text);
  }
  return svg;
}

std::string legend(const std::vector<std::string>& names) {
  std::string svg;
  double x = kLeft;
  for (std::size_t index = 0; index < names.size(); ++index) {
    const double y = kTop + kHeight + 30;
    svg += fmt::format("<rect x='{}' y='{}' width='12' height='12' fill='{}'/>", x, y, colour_of(index));
    svg += fmt::format("<text x='{}' y='{}'>{}</text>\n", x + 17, y + 10, escaped(names[index]));
    x += 130;
  }
  return svg;
}

// `share` maps a value to its height, [0, 1].
std::string line_plot(std::string_view title, const std::vector<Line>& lines, const std::vector<Tick>& x_ticks,
                      const std::vector<Tick>& y_ticks, const std::function<double(double)>& share) {
  std::string svg = svg_open(title) + axes(x_ticks, y_ticks);
  std::vector<std::string> names;
  for (std::size_t index = 0; index < lines.size(); ++index) {
    const Line& line = lines[index];
    std::string points;
    for (std::size_t point = 0; point < line.ys.size(); ++point) {
      points += fmt::format("{:.1f},{:.1f} ", x_at(line.xs[point]), y_at(share(line.ys[point])));
    }
    svg += fmt::format("<polyline points='{}' stroke='{}'/>\n", points, colour_of(index));
    names.push_back(line.name);
  }
  return svg + legend(names) + "</svg>\n";
}

std::vector<Tick> linear_ticks(double maximum, const std::function<std::string(double)>& text) {
  std::vector<Tick> ticks;
  for (int quarter = 0; quarter <= 4; ++quarter) ticks.push_back({quarter / 4.0, text(maximum * quarter / 4)});
  return ticks;
}

// The result of each engine that is plotted.
using Shown = std::vector<const FigureResult*>;

std::string throughput_plot(const Shown& shown, std::size_t course) {
  double end_s = 0;
  double rate_max = 0;
  for (const FigureResult* result : shown) {
    const Timeline& timeline = result->measured.courses.all()[course].timeline;
    end_s = std::max(end_s, timeline.end_s());
    for (const Timeline::Point& point : timeline.points()) rate_max = std::max(rate_max, point.per_s);
  }
  if (rate_max == 0) return "";
  std::vector<Line> lines;
  for (const FigureResult* result : shown) {
    Line line{result->label.engine, {}, {}};
    for (const Timeline::Point& point : result->measured.courses.all()[course].timeline.points()) {
      line.xs.push_back(point.middle_s / end_s);
      line.ys.push_back(point.per_s);
    }
    lines.push_back(std::move(line));
  }
  return line_plot(fmt::format("Per second, over time: {}", shown.front()->measured.courses.all()[course].done), lines,
                   linear_ticks(end_s, [](double s) { return fmt::format("{:.3g} s", s); }),
                   linear_ticks(rate_max, short_number), [rate_max](double rate) { return rate / rate_max; });
}

std::string latency_plot(const Shown& shown, std::size_t course) {
  double low = 1e12;
  double high = 0;
  for (const FigureResult* result : shown) {
    const auto& latency = result->measured.courses.all()[course].latency_us;
    low = std::min(low, latency.front());
    high = std::max(high, latency.back());
  }
  const double decade_low = std::floor(std::log10(std::max(low, kLatencyMinUs)));
  const double decades = std::max(1.0, std::ceil(std::log10(std::max(high, 1.0))) - decade_low);
  std::vector<Tick> x_ticks;
  std::vector<double> xs;
  for (std::size_t index = 0; index < kPercentiles.size(); ++index) {
    xs.push_back(static_cast<double>(index) / (kPercentiles.size() - 1));
    x_ticks.push_back({xs.back(), kPercentiles[index] == 100 ? "max" : fmt::format("p{:g}", kPercentiles[index])});
  }
  std::vector<Tick> y_ticks;
  for (double decade = 0; decade <= decades; ++decade) {
    y_ticks.push_back({decade / decades, short_number(std::pow(10, decade_low + decade)) + " &micro;s"});
  }
  std::vector<Line> lines;
  for (const FigureResult* result : shown) {
    const auto& latency = result->measured.courses.all()[course].latency_us;
    lines.push_back({result->label.engine, xs, {latency.begin(), latency.end()}});
  }
  return line_plot(
      fmt::format("Latency of {}, microseconds (logarithmic)", shown.front()->measured.courses.all()[course].one),
      lines, x_ticks, y_ticks,
      [=](double us) { return (std::log10(std::max(us, kLatencyMinUs)) - decade_low) / decades; });
}

// What the workload says of its course, of all engines in one plot each.
std::string course_plots(const Shown& shown) {
  std::string html;
  const std::span<const Course> courses = shown.front()->measured.courses.all();
  for (std::size_t course = 0; course < courses.size(); ++course) {
    if (courses[course].done != nullptr) html += throughput_plot(shown, course);
    if (courses[course].one != nullptr) html += latency_plot(shown, course);
  }
  return html;
}

// One figure of every engine, from 0; the unit is at the end of its name.
std::string bars(const Shown& shown, std::size_t figure) {
  const Figure& named = shown.front()->measured.figures.all()[figure];
  double maximum = 0;
  for (const FigureResult* result : shown) maximum = std::max(maximum, result->measured.figures.all()[figure].value);
  if (maximum == 0) return "";
  std::string svg = fmt::format(
      "<svg class='bars' viewBox='0 0 {} {}' role='img' aria-label='{}'><text x='0' y='12'>{}, {} is better</text>\n",
      kBarsWidth, kBarsHeight + 40, named.name, named.name, named.kind == FigureKind::kRate ? "more" : "less");
  const double width = kBarsWidth / static_cast<double>(shown.size());
  for (std::size_t index = 0; index < shown.size(); ++index) {
    const double value = shown[index]->measured.figures.all()[figure].value;
    const double height = value / maximum * (kBarsHeight - 20);
    const double x = static_cast<double>(index) * width;
    const double y = 20 + kBarsHeight - height;
    svg += fmt::format("<rect x='{:.1f}' y='{:.1f}' width='{:.1f}' height='{:.1f}' fill='{}'/>", x, y, width * 0.9,
                       height, colour_of(index));
    svg += fmt::format("<text x='{:.1f}' y='{:.1f}'>{}</text><text x='{:.1f}' y='{}'>{}</text>\n", x, y - 3,
                       short_number(value), x, kBarsHeight + 34, escaped(shown[index]->label.engine));
  }
  return svg + "</svg>\n";
}

std::string side_by_side(const Shown& shown) {
  std::string html = "<h2>Engines side by side</h2>\n";
  const std::span<const Figure> figures = shown.front()->measured.figures.all();
  for (std::size_t figure = 0; figure < figures.size(); ++figure) {
    const FigureKind kind = figures[figure].kind;
    if (kind == FigureKind::kRate || kind == FigureKind::kCost) html += bars(shown, figure);
  }
  return html;
}

// Of each engine, in the order of the results, the round whose headline is the median of its rounds'.
Shown median_rounds(std::span<const FigureResult> results) {
  Shown shown;
  for (const FigureResult& result : results) {
    const std::string& engine = result.label.engine;
    const auto is_of_engine = [&engine](const FigureResult* other) { return other->label.engine == engine; };
    if (std::any_of(shown.begin(), shown.end(), is_of_engine)) continue;
    Shown rounds;
    for (const FigureResult& round : results) {
      if (is_of_engine(&round)) rounds.push_back(&round);
    }
    std::sort(rounds.begin(), rounds.end(), [](const FigureResult* a, const FigureResult* b) {
      return a->measured.figures.headline() < b->measured.figures.headline();
    });
    shown.push_back(rounds[rounds.size() / 2]);
  }
  return shown;
}

std::string figure_text(const Figure& figure) {
  const bool is_long = figure.value >= 1000 || figure.value == std::floor(figure.value);
  return is_long ? fmt::format("{:.0f}", figure.value) : fmt::format("{:.4g}", figure.value);
}

// A row for each figure, a column for each engine and round.
std::string table(std::span<const FigureResult> results) {
  std::string html = "<h2>All rounds</h2>\n<table><tr><th>";
  for (const FigureResult& result : results) {
    html += fmt::format("<th>{}, round {}", escaped(name_of(result.label)), result.label.round);
  }
  html += "</tr>\n";
  const std::span<const Figure> figures = results.front().measured.figures.all();
  for (std::size_t figure = 0; figure < figures.size(); ++figure) {
    if (figures[figure].kind == FigureKind::kGiven) continue;
    html += fmt::format("<tr><td>{}", figures[figure].name);
    for (const FigureResult& result : results) html += "<td>" + figure_text(result.measured.figures.all()[figure]);
    html += "</tr>\n";
  }
  html += "<tr><td>verified";
  for (const FigureResult& result : results) html += result.measured.is_verified ? "<td>yes" : "<td>NO";
  return html + "</tr></table>\n";
}

// What the figures are nothing without.
std::string introduction(const FigureResult& result) {
  std::string given;
  for (const Figure& figure : result.measured.figures.all()) {
    if (figure.kind == FigureKind::kGiven) given += fmt::format("{} {}, ", figure.name, figure_text(figure));
  }
  return "<p>" + given + escaped(circumstances(result.label)) +
         ". Plots show each engine's median round. Compare engines within this page only.</p>\n";
}

constexpr const char* kStyle =
    "body{font:15px system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#222}"
    "svg{width:100%;max-width:680px;font-size:11px}.bars{max-width:240px;margin:0 24px 16px "
    "0}polyline{fill:none;stroke-width:1.8}.grid{stroke:#ddd}"
    "table{border-collapse:collapse;font-size:13px}td,th{padding:3px 8px;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child{text-align:left}";

}  // namespace

Status check_report(const std::filesystem::path& file) {
  std::error_code error;
  const auto status = std::filesystem::status(file, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    return Status::invalid_argument("--report " + file.string() + ": is not a file; name one to write");
  }
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  if (std::filesystem::exists(folder, error) && !std::filesystem::is_directory(folder, error)) {
    return Status::invalid_argument("--report " + file.string() + ": " + folder.string() +
                                    " is not a directory; name another");
  }
  if (::access(folder.c_str(), W_OK) != 0) {
    return Status::invalid_argument("--report " + file.string() + ": its folder cannot be written: " +
                                    std::strerror(errno) + "; make it, or name another");
  }
  return {};
}

Status write_report(const std::filesystem::path& file, std::span<const FigureResult> results,
                    std::span<const Ratio> ratios) {
  const FigureResult& first = results.front();
  const Shown shown = median_rounds(results);
  std::string html = fmt::format(
      "<!doctype html>\n<html lang='en'><meta charset='utf-8'><title>hdb-bench {0}</title>\n"
      "<style>{1}</style>\n<h1>hdb-bench {0}</h1>\n",
      escaped(first.label.workload), kStyle);
  html += introduction(first) + course_plots(shown) + side_by_side(shown);
  for (const Ratio& ratio : ratios) html += "<p>" + escaped(to_text(ratio)) + "</p>\n";
  html += table(results) + "</html>\n";
  // Through a link, to what it names.
  std::error_code error;
  const std::filesystem::path target = std::filesystem::weakly_canonical(file, error);
  return replace_file(posix_env(), (error ? file : target).string(), as_bytes(html));
}

}  // namespace hdb::bench
