// TAP for native tests: test("a sentence", [] { CHECK(...); }) as often as needed, then `return
// tap::finish();`.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <sstream>
#include <string>

namespace tap {

struct Counts {
  std::mutex lock;  // guards output and the numbers: CHECK may be used on any thread
  int tests = 0;
  int failed = 0;
  int failures_here = 0;  // in the running test
};

inline Counts& counts() {
  static Counts* instance = new Counts;  // never destroyed: threads may outlive main
  return *instance;
}

inline bool check(bool holds, const char* file, int line, const std::string& what) {
  if (holds) return true;
  Counts& c = counts();
  std::lock_guard<std::mutex> guard(c.lock);
  if (++c.failures_here <= 20) std::printf("# %s:%d: %s\n", file, line, what.c_str());
  return false;
}

template <class A, class B>
bool check_equal(const A& a, const B& b, const char* file, int line, const char* text) {
  if (a == b) return true;
  std::ostringstream out;
  out << text << ": got " << a << ", expected " << b;
  return check(false, file, line, out.str());
}

// One test; its body fails it through CHECK and CHECK_EQ.
inline void test(const char* sentence, const std::function<void()>& body) {
  Counts& c = counts();
  c.failures_here = 0;
  body();
  std::lock_guard<std::mutex> guard(c.lock);
  ++c.tests;
  if (c.failures_here) ++c.failed;
  std::printf("%s %d - %s\n", c.failures_here ? "not ok" : "ok", c.tests, sentence);
  std::fflush(stdout);
}

// A test that cannot run on this machine says why; use it for nothing that the product can influence.
inline void skip(const char* sentence, const char* why) {
  Counts& c = counts();
  std::lock_guard<std::mutex> guard(c.lock);
  std::printf("ok %d - %s # SKIP %s\n", ++c.tests, sentence, why);
  std::fflush(stdout);
}

// Prints the plan; what main() returns.
inline int finish() {
  Counts& c = counts();
  std::printf("1..%d\n", c.tests);
  return c.failed ? 1 : 0;
}

}  // namespace tap

#define CHECK(condition) tap::check(static_cast<bool>(condition), __FILE__, __LINE__, #condition)
#define CHECK_EQ(a, b) tap::check_equal((a), (b), __FILE__, __LINE__, #a)
