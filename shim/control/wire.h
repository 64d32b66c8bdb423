// One connection to the daemon's socket: lines out, lines and file descriptors in. It knows nothing of JSON.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "control/deadline.h"
#include "control/unique_fd.h"

namespace cbd::control {

class Wire {
 public:
  // Connects without waiting. 0, -ENOENT (no socket there), -ECONNREFUSED (nobody listens), -ENAMETOOLONG, or another -errno.
  static int open(const std::string& path, std::shared_ptr<Wire>& wire);

  // Sends a line, which must end in LF, as a whole; from any thread. -ETIMEDOUT where the peer does not read: then part
  // of the line may be out, and the wire must be given up.
  int send(std::string_view line, const Deadline& deadline);

  // Sends it if that needs no waiting, else not at all.
  void try_send(std::string_view line);

  // The next line without its LF; one thread only. -EPIPE at the end, -ETIMEDOUT, -EINTR after wake(), -EMSGSIZE.
  int receive(std::string& line, const Deadline& deadline);

  // The first `count` of the descriptors that arrived, in order; fewer where fewer came.
  std::vector<UniqueFd> take_fds(size_t count);

  // Ends both directions, so that whoever sends or receives gets -EPIPE. From any thread.
  void shut();

  // Whether all that has arrived was received and dealt with: the one who receives waits for more. From any thread.
  bool is_idle() const;
  // The same for the one who receives, while he does not.
  bool is_dealt_with() const;

  // Makes the one who receives come back with -EINTR, now or the next time that he would wait. From any thread.
  void wake();

  // In a forked child: closes the child's copy without ending the parent's connection.
  void close_in_child();

 private:
  Wire(UniqueFd fd, UniqueFd wake) : fd_(std::move(fd)), wake_(std::move(wake)) {}
  bool has_unread() const;
  void end_turn();
  int send_whole(std::string_view line, const Deadline& deadline);
  int fill(const Deadline& deadline);

  UniqueFd fd_;
  UniqueFd wake_;             // an eventfd
  std::mutex mutex_;           // guards `sending_`
  std::condition_variable turn_;
  bool sending_ = false;       // a line is going out; the next waits for its turn, so that lines do not mix
  std::atomic<bool> is_waiting_{false};  // the receiver waits, and has dealt with all that he received
  std::string buffer_;        // the receiver's: what came and was not taken yet
  size_t scanned_ = 0;        // bytes of it known to hold no LF
  std::deque<UniqueFd> fds_;
};

}  // namespace cbd::control
