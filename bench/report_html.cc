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

constexpr std::array<const char*, 3> kColours = {"#1f6feb", "#d1701a", "#3a8a4d"};

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
  if (value >= 1e6) return fmt::format("{:.3g} M", value / 1e6);
  if (value >= 1e3) return fmt::format("{:.3g} K", value / 1e3);
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
    svg +=
        fmt::format("<rect x='{}' y='{}' width='12' height='12' fill='{}'/>", x, y, kColours[index % kColours.size()]);
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
    svg += fmt::format("<polyline points='{}' stroke='{}'/>\n", points, kColours[index % kColours.size()]);
    names.push_back(line.name);
  }
  return svg + legend(names) + "</svg>\n";
}

std::vector<Tick> linear_ticks(double maximum, const std::function<std::string(double)>& text) {
  std::vector<Tick> ticks;
  for (int quarter = 0; quarter <= 4; ++quarter) ticks.push_back({quarter / 4.0, text(maximum * quarter / 4)});
  return ticks;
}

std::string throughput_plot(const std::vector<const IngestResult*>& shown) {
  double end_s = 0;
  double rate_max = 0;
  for (const IngestResult* result : shown) {
    end_s = std::max(end_s, result->measured.series_step_s * kSeriesPoints);
    for (const double rate : result->measured.series) rate_max = std::max(rate_max, rate);
  }
  std::vector<Line> lines;
  for (const IngestResult* result : shown) {
    Line line{result->label.engine, {}, {}};
    for (std::size_t point = 0; point < kSeriesPoints; ++point) {
      line.xs.push_back((static_cast<double>(point) + 0.5) * result->measured.series_step_s / end_s);
      line.ys.push_back(result->measured.series[point]);
    }
    lines.push_back(std::move(line));
  }
  return line_plot("Events acknowledged per second, over time", lines,
                   linear_ticks(end_s, [](double s) { return fmt::format("{:.3g} s", s); }),
                   linear_ticks(rate_max, short_number), [rate_max](double rate) { return rate / rate_max; });
}

std::string latency_plot(const std::vector<const IngestResult*>& shown) {
  double low = 1e12;
  double high = 0;
  for (const IngestResult* result : shown) {
    low = std::min(low, result->measured.latency_us.front());
    high = std::max(high, result->measured.latency_us.back());
  }
  const double decade_low = std::floor(std::log10(std::max(low, 0.1)));
  const double decades = std::max(1.0, std::ceil(std::log10(std::max(high, 1.0))) - decade_low);
  std::vector<Tick> x_ticks;
  std::vector<double> xs;
  for (std::size_t index = 0; index < kPercentiles.size(); ++index) {
    xs.push_back(static_cast<double>(index) / (kPercentiles.size() - 1));
    x_ticks.push_back({xs.back(), kPercentiles[index] == 100 ? "max" : fmt::format("p{:g}", kPercentiles[index])});
  }
  std::vector<Tick> y_ticks;
  for (double decade = 0; decade <= decades; ++decade) {
    y_ticks.push_back({decade / decades, short_number(std::pow(10, decade_low + decade))});
  }
  std::vector<Line> lines;
  for (const IngestResult* result : shown) {
    const auto& latency = result->measured.latency_us;
    lines.push_back({result->label.engine, xs, {latency.begin(), latency.end()}});
  }
  return line_plot("Latency of a batch, microseconds (logarithmic)", lines, x_ticks, y_ticks,
                   [=](double us) { return (std::log10(std::max(us, 0.1)) - decade_low) / decades; });
}

std::string side_by_side(const std::vector<const IngestResult*>& shown) {
  struct Group {
    const char* name;
    std::function<double(const IngestMeasurement&)> figure;
  };
  const Group groups[] = {
      {"events/s", [](const IngestMeasurement& m) { return m.events_per_s; }},
      {"settled events/s", [](const IngestMeasurement& m) { return m.settled_events_per_s; }},
  };
  double maximum = 0;
  std::vector<std::string> names;
  for (const IngestResult* result : shown) {
    for (const Group& group : groups) maximum = std::max(maximum, group.figure(result->measured));
    names.push_back(result->label.engine);
  }
  std::string svg = svg_open("Engines side by side") +
                    axes({{0.25, groups[0].name}, {0.75, groups[1].name}}, linear_ticks(maximum, short_number));
  const double bar = 0.4 / static_cast<double>(shown.size());
  for (std::size_t group = 0; group < std::size(groups); ++group) {
    for (std::size_t index = 0; index < shown.size(); ++index) {
      const double value = groups[group].figure(shown[index]->measured);
      const double x = 0.05 + 0.5 * static_cast<double>(group) + bar * static_cast<double>(index);
      svg +=
          fmt::format("<rect x='{:.1f}' y='{:.1f}' width='{:.1f}' height='{:.1f}' fill='{}'><title>{}</title></rect>\n",
                      x_at(x), y_at(value / maximum), bar * kWidth * 0.9, value / maximum * kHeight,
                      kColours[index % kColours.size()], short_number(value));
    }
  }
  return svg + legend(names) + "</svg>\n";
}

// Of each engine, in the order of the results, the round whose rate is the median of its rounds.
std::vector<const IngestResult*> median_rounds(std::span<const IngestResult> results) {
  std::vector<std::string> engines;
  for (const IngestResult& result : results) {
    if (std::find(engines.begin(), engines.end(), result.label.engine) == engines.end()) {
      engines.push_back(result.label.engine);
    }
  }
  std::vector<const IngestResult*> shown;
  for (const std::string& engine : engines) {
    std::vector<const IngestResult*> rounds;
    for (const IngestResult& result : results) {
      if (result.label.engine == engine) rounds.push_back(&result);
    }
    std::sort(rounds.begin(), rounds.end(), [](const IngestResult* a, const IngestResult* b) {
      return a->measured.events_per_s < b->measured.events_per_s;
    });
    shown.push_back(rounds[rounds.size() / 2]);
  }
  return shown;
}

std::string table(std::span<const IngestResult> results) {
  std::string html =
      "<h2>All rounds</h2>\n<table><tr><th>engine<th>round<th>events/s<th>settled<th>p50 &micro;s<th>p99<th>p99.9"
      "<th>max<th>B/event on disk<th>written<th>peak memory<th>CPU s<th>verified</tr>\n";
  for (const IngestResult& result : results) {
    const IngestMeasurement& m = result.measured;
    html += fmt::format(
        "<tr><td>{} "
        "{}<td>{}<td>{:.0f}<td>{:.0f}<td>{:.0f}<td>{:.0f}<td>{:.0f}<td>{:.0f}<td>{:.1f}<td>{}<td>{}<td>{:.2f}"
        "<td>{}</tr>\n",
        result.label.engine, result.label.variant, result.label.round, m.events_per_s, m.settled_events_per_s, m.p50_us,
        m.p99_us, m.p999_us, m.max_us, static_cast<double>(m.directory_bytes) / static_cast<double>(m.events),
        human_bytes(m.bytes_written), human_bytes(m.peak_rss_bytes), m.cpu_s, m.is_verified ? "yes" : "NO");
  }
  return html + "</table>\n";
}

constexpr const char* kStyle =
    "body{font:15px system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#222}"
    "svg{width:100%;max-width:680px;font-size:11px}polyline{fill:none;stroke-width:1.8}.grid{stroke:#ddd}"
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
  if (::access(folder.c_str(), W_OK) != 0) {
    return Status::invalid_argument("--report " + file.string() + ": its folder cannot be written: " +
                                    std::strerror(errno) + "; make it, or name another");
  }
  return {};
}

Status write_report(const std::filesystem::path& file, std::span<const IngestResult> results) {
  const IngestResult& first = results.front();
  const std::vector<const IngestResult*> shown = median_rounds(results);
  std::string html = fmt::format(
      "<!doctype html>\n<html lang='en'><meta charset='utf-8'><title>hdb-bench {0}</title>\n"
      "<style>{1}</style>\n<h1>hdb-bench {0}</h1>\n",
      escaped(first.label.workload), kStyle);
  html += fmt::format(
      "<p>{} events in batches of {}, {} writers, {}durability {}, preset {}; write buffers {}, caches {}. {}; a "
      "synced 4 "
      "KiB write takes {:.0f} &micro;s (p50). Compare engines within this page only.</p>\n",
      first.measured.events, first.batch, first.writers,
      first.value_bytes > 0 ? fmt::format("values of {} B, ", first.value_bytes) : "",
      durability_name(first.label.options.durability), escaped(first.label.preset),
      human_bytes(first.label.options.memtable_bytes), human_bytes(first.label.options.block_cache_bytes),
      escaped(first.label.cpu_model), first.label.device_sync_p50_us);
  html += throughput_plot(shown) + latency_plot(shown) + side_by_side(shown) + table(results);
  for (const Ratio& ratio : ratios_of(results)) html += "<p>" + escaped(to_text(ratio)) + "</p>\n";
  html += "</html>\n";
  // Through a link, to what it names.
  std::error_code error;
  const std::filesystem::path target = std::filesystem::weakly_canonical(file, error);
  return replace_file(posix_env(), (error ? file : target).string(), as_bytes(html));
}

}  // namespace hdb::bench
