// doctest's main: a test case without assertions counts as failed, and the last line says how many passed.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

namespace {

struct Tally {
  int passed = 0;
  int failed = 0;
};
Tally tally;

// Counts test cases, and fails those that assert nothing.
struct AssertionListener : doctest::IReporter {
  const doctest::TestCaseData* current = nullptr;

  explicit AssertionListener(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_start(const doctest::TestCaseData& data) override { current = &data; }
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats& stats) override {
    const bool is_empty = stats.numAssertsCurrentTest == 0;
    if (is_empty) std::fprintf(stderr, "test case asserts nothing: %s\n", current->m_name);
    const bool has_passed = !is_empty && stats.failure_flags == doctest::TestCaseFailureReason::None;
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

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  const int code = context.run();
  if (context.shouldExit()) return code;
  std::printf("%d passed, %d failed\n", tally.passed, tally.failed);
  return code != 0 || tally.failed > 0 || tally.passed == 0 ? 1 : 0;
}
