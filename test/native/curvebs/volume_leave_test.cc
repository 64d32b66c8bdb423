// The NEBD volume where another process may be given it: whoever was fenced changes nothing any more, however he comes back.
#include <errno.h>

#include <mutex>
#include <vector>

#include "curvebs/volume_support.h"

using namespace cbd::test;

namespace {

// Stands for the daemon: answers each question when the test says so.
struct Giver {
  std::mutex lock;  // guards `questions`
  std::vector<nebd::LeaveAnswer> questions;
  std::atomic<bool> answers_yes{false};
  std::atomic<int> asked{0};

  nebd::AskLeave ask() {
    return [this](nebd::LeaveAnswer answer) {
      ++asked;
      if (answers_yes) return answer(0);
      std::lock_guard<std::mutex> guard(lock);
      questions.push_back(std::move(answer));
    };
  }
  void answer(int with) {
    until([&] {
      std::lock_guard<std::mutex> guard(lock);
      return !questions.empty();
    });
    std::vector<nebd::LeaveAnswer> all;
    {
      std::lock_guard<std::mutex> guard(lock);
      all.swap(questions);
    }
    for (auto& each : all) each(with);
  }
};

void asking() {
  tap::test("no change is sent before the giver has said yes; reads do not wait", [] {
    Setting s;
    Giver giver;
    s.options.ask_leave = giver.ask();
    s.server->start();
    NebdVolume volume(s.options);
    Io change(Op::write, 0, 4096, 1), later(Op::zero, 0, 4096);
    volume.submit(change);
    volume.submit(later);
    CHECK_EQ(read_fill(volume, 0, 4096), 0);
    CHECK_EQ(read_fill(volume, 0, 4096, true), 0);
    CHECK_EQ(s.server->requests("Write"), 0u);
    giver.answer(0);
    CHECK_EQ(change.wait(), 0);
    CHECK_EQ(later.wait(), 0);
    CHECK_EQ(write(volume, 4096, 4096, 2, true), 0);
    CHECK_EQ(giver.asked.load(), 1);
  });
  tap::test("an answer that is none is asked for again", [] {
    Setting s;
    Giver giver;
    s.options.times.doubt = 50;
    s.options.ask_leave = giver.ask();
    s.server->start();
    NebdVolume volume(s.options);
    Io change(Op::write, 0, 4096, 1);
    volume.submit(change);
    giver.answer(-ETIMEDOUT);
    CHECK(!change.is_over());
    giver.answer(0);
    CHECK_EQ(change.wait(), 0);
  });
  tap::test("after each opening it is asked anew, and an answer to the question of before counts no more", [] {
    Setting s;
    Giver giver;
    s.options.ask_leave = giver.ask();
    s.server->start();
    NebdVolume volume(s.options);
    Io first(Op::write, 0, 4096, 1);
    volume.submit(first);
    until([&] { return giver.asked == 1; });
    nebd::LeaveAnswer old;
    {
      std::lock_guard<std::mutex> guard(giver.lock);
      old = std::move(giver.questions[0]);
      giver.questions.clear();
    }
    s.server->disconnect();
    until([&] { return giver.asked == 2; });
    old(0);
    CHECK_EQ(read_fill(volume, 0, 4096), 0);
    CHECK(!first.is_over());
    giver.answer(0);
    CHECK_EQ(first.wait(), 0);
  });
}

void losing() {
  tap::test("whose volume was given away meanwhile changes nothing after a reconnect: ESHUTDOWN; reads go on", [] {
    Setting s;
    Giver giver;
    giver.answers_yes = true;
    std::atomic<bool> holds{true};
    s.server->decide = [&](const MemoryNebd::Seen& seen) { return holds && seen.method == "Write" && seen.offset > 0 ? MemoryNebd::Do::ignore : MemoryNebd::Do::answer; };
    s.options.ask_leave = giver.ask();
    s.server->start();
    NebdVolume volume(s.options);
    CHECK_EQ(write(volume, 0, 4096, 1), 0);
    Io unanswered(Op::write, 4096, 4096, 2);
    volume.submit(unanswered);
    until([&] { return s.server->requests("Write") == 2; });
    giver.answers_yes = false;
    holds = false;
    s.server->disconnect();
    giver.answer(-ESHUTDOWN);
    CHECK_EQ(unanswered.wait(), -ESHUTDOWN);
    CHECK_EQ(write(volume, 0, 4096, 3), -ESHUTDOWN);
    CHECK_EQ(write(volume, 0, 4096, 3, true), -ESHUTDOWN);
    CHECK_EQ(read_fill(volume, 0, 4096), 1);
    CHECK_EQ(s.server->requests("Write"), 2u);
  });
  tap::test("a refused change is asked about, and ends in ESHUTDOWN or is sent again", [] {
    Setting s;
    Giver giver;
    giver.answers_yes = true;
    std::atomic<bool> refuses{false};
    s.server->decide = [&](const MemoryNebd::Seen& seen) { return refuses && seen.method == "Write" ? MemoryNebd::Do::refuse : MemoryNebd::Do::answer; };
    s.options.ask_leave = giver.ask();
    s.server->start();
    NebdVolume volume(s.options);
    CHECK_EQ(write(volume, 0, 4096, 1), 0);
    giver.answers_yes = false;
    refuses = true;
    Io change(Op::write, 0, 4096, 2), more(Op::write, 4096, 4096, 2);
    volume.submit(change);
    volume.submit(more);
    until([&] { return giver.asked == 2; });
    refuses = false;
    giver.answer(0);
    CHECK_EQ(change.wait() + more.wait(), 0);
    refuses = true;
    Io last(Op::write, 0, 4096, 3);
    volume.submit(last);
    giver.answer(-ESHUTDOWN);
    CHECK_EQ(last.wait(), -ESHUTDOWN);
    CHECK_EQ(read_fill(volume, 0, 4096), 2);
  });
  tap::test("a change that is never answered ends in ESHUTDOWN as soon as the giver says so, and waits on where he does not", [] {
    Setting s;
    Giver giver;
    giver.answers_yes = true;
    s.server->decide = [](const MemoryNebd::Seen& seen) { return seen.method == "Write" ? MemoryNebd::Do::ignore : MemoryNebd::Do::answer; };
    s.options.times.doubt = 100;
    s.options.ask_leave = giver.ask();
    s.server->start();
    NebdVolume volume(s.options);
    Io silent(Op::write, 0, 4096, 1), behind(Op::write, 0, 8192, 2);
    volume.submit(silent);
    volume.submit(behind);
    until([&] { return giver.asked > 2; });
    CHECK(!silent.is_over());
    giver.answers_yes = false;
    giver.answer(-ESHUTDOWN);
    CHECK_EQ(silent.wait(), -ESHUTDOWN);
    CHECK_EQ(behind.wait(), -ESHUTDOWN);
    CHECK_EQ(read_fill(volume, 0, 4096), 0);
  });
  tap::test("lose_leave() ends what waits for an answer that will never come", [] {
    Setting s;
    Giver giver;
    s.options.ask_leave = giver.ask();
    s.server->start();
    NebdVolume volume(s.options);
    Io change(Op::write, 0, 4096, 1);
    volume.submit(change);
    until([&] { return giver.asked == 1; });
    volume.lose_leave();
    CHECK_EQ(change.wait(), -ESHUTDOWN);
  });
}

}  // namespace

int main() {
  asking();
  losing();
  return tap::finish();
}
