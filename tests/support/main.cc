// doctest's main: a test case without assertions counts as failed unless it was skipped; the last line is the tally,
// the one before it what was broken.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "tests/support/faults.h"
#include "tests/support/test_run.h"

namespace {

struct Tally {
  int passed = 0;
  int failed = 0;
  int skipped = 0;
};
Tally tally;
bool is_skipped = false;  // the running test case

// Counts test cases, and fails those that assert nothing.
struct AssertionListener : doctest::IReporter {
  const doctest::TestCaseData* current = nullptr;

  explicit AssertionListener(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_start(const doctest::TestCaseData& data) override {
    current = &data;
    is_skipped = false;
  }
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats& stats) override {
    const bool has_failure = stats.failure_flags != doctest::TestCaseFailureReason::None;
    // Whatever it asserted before: the promise of its name is not tested.
    if (is_skipped && !has_failure) {
      ++tally.skipped;
      return;
    }
    const bool is_empty = stats.numAssertsCurrentTest == 0;
    if (is_empty) std::fprintf(stderr, "test case asserts nothing: %s\n", current->m_name);
    const bool has_passed = !is_empty && !has_failure;
    ++(has_passed ? tally.passed : tally.failed);
  }
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};
REGISTER_LISTENER("assertions", 1, AssertionListener);

}  // namespace

namespace hdb::test {

std::uint64_t test_seed() {
  if (const char* seed = std::getenv("HDB_TEST_SEED")) return std::strtoull(seed, nullptr, 10);
  return std::random_device{}();
}

std::size_t scaled(std::size_t count) {
  const char* scale = std::getenv("HDB_TEST_SCALE");
  const double factor = scale == nullptr ? 1 : std::strtod(scale, nullptr);
  return std::max<std::size_t>(1, static_cast<std::size_t>(factor * static_cast<double>(count)));
}

void skip(std::string_view why) {
  is_skipped = true;
  std::printf("skipped: %.*s\n", static_cast<int>(why.size()), why.data());
}

}  // namespace hdb::test

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  const int code = context.run();
  if (context.shouldExit()) return code;
  std::printf("%s\n", hdb::test::faults_line().c_str());
  std::printf("%d passed, %d failed", tally.passed, tally.failed);
  if (tally.skipped > 0) std::printf(", %d skipped", tally.skipped);
  std::printf("\n");
  return code != 0 || tally.failed > 0 || tally.passed + tally.skipped == 0 ? 1 : 0;
}
