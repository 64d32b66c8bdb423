// Whether a file may be changed: asked of whoever gives volumes to processes, where it gives one to one process at a time.
//
// A process that is taken for gone is fenced by the volume's epoch: CurveBS refuses the changes of whoever opened it before. That holds
// only for what was opened before. So after each OpenFile the giver is asked, and no change is sent until it says that the volume
// is ours still: said after the opening, a fence comes later than that and hits what was opened. Reads wait for nothing.
// A refused change of a fenced writer gets no reply by default; so the giver is asked also when a change is not answered.
#include <errno.h>

#include "block/nebd_connection.h"

namespace cbd::block::nebd {

void Connection::ask_leave(File& file) {
  file.leave_question = next_question_++;
  file.leave_asked = now_ms();
  errands_.push_back([self = weak_from_this(), question = file.leave_question, ask = file.options.ask_leave] {
    ask([self, question](int answer) {
      if (auto connection = self.lock()) connection->take_leave_answer(question, answer);
    });
  });
  kick();
}

void Connection::take_leave_answer(uint64_t question, int answer) {
  Lock lock(lock_);
  for (const auto& each : files_) {
    File& file = *each;
    if (file.leave_question != question) continue;
    file.leave_question = 0;
    if (file.leave == File::Leave::taken) return;
    if (answer == 0) {
      file.leave = File::Leave::given;
      pump(file);
    } else if (answer == -ESHUTDOWN) {
      take_leave(file);
    }
    break;
  }
  flush(lock);
  // Whoever answers has no time for what the ends of requests bring about: our thread tells them.
  kick();
}

void Connection::lose_leave(File& file) {
  Lock lock(lock_);
  take_leave(file);
  run_finished(lock);
}

// Every change ends, and none is begun any more. What is being sent just now is ended when it is sent and not answered.
void Connection::take_leave(File& file) {
  file.leave = File::Leave::taken;
  for (Call* call = file.waiting.first; call;) {
    Call* after = call->after;
    if (call->changes()) {
      file.waiting.remove(call);
      end_call(call, -ESHUTDOWN);
    }
    call = after;
  }
  for (Call* call = file.in_flight.first; call;) {
    Call* after = call->after;
    if (call->changes() && call->is_sent) end_call(call, -ESHUTDOWN);
    call = after;
  }
}

void Connection::look_for_doubt(File& file, int64_t now) {
  if (file.leave == File::Leave::taken) return take_leave(file);
  if (!file.options.ask_leave) return;
  if (file.leave_question != 0 || now - file.leave_asked < file.options.times.doubt) return;
  bool is_silent = file.leave == File::Leave::unknown;
  for (const Call* call = file.in_flight.first; call; call = call->after) {
    is_silent |= call->changes() && now - call->started >= file.options.times.doubt;
  }
  if (is_silent) ask_leave(file);
}

}  // namespace cbd::block::nebd
