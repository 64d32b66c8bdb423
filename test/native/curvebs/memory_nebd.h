// A nebd-server in memory, for tests and benchmarks in the same process or as a program: answers at once, dies and hangs like the
// real one, and does on request what no real one does. One thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace cbd::test {

class MemoryNebd {
 public:
  struct Seen {
    std::string method;
    int32_t fd = -1;
    uint64_t offset = 0;
    uint64_t size = 0;
    std::string name;    // OpenFile, KeepAlive
    uint64_t count = 0;  // of all requests, from 1
  };
  enum class Do {
    answer,
    refuse,      // -1
    carry_out,   // without a reply
    ignore,      // neither
    hold,        // reply (and effect) when release() is called, in any order
    disconnect,  // instead of it all
  };

  MemoryNebd(std::string path, uint64_t size, uint32_t block = 4096);
  ~MemoryNebd();

  // Set before start(), or while no request can come. Runs on the server's thread.
  std::function<Do(const Seen&)> decide;
  // Called with each reply's bytes before they are sent; may spoil them.
  std::function<void(std::vector<uint8_t>&)> spoil;
  bool keeps_data = true;  // false: reads give whatever, writes go nowhere (for benchmarks)

  void start();
  void stop();        // connections end, as by kill -9; fds and data stay for the next start()
  void disconnect();  // cuts the connections
  void release();     // answers what is held, last first
  void forget_fds();  // as a server that lost its table

  std::string path() const { return path_; }
  // Why it died, or "".
  std::string crash();
  uint64_t requests(const std::string& method);
  int connections() const { return connections_.load(); }
  std::vector<std::string> open_names();
  size_t held();
  std::vector<uint8_t> data(uint64_t offset, uint64_t size);

 private:
  struct Client {
    int fd = -1;
    std::vector<uint8_t> in;
    size_t used = 0;
    std::vector<uint8_t> out;
    size_t sent = 0;
    bool is_lost = false;
  };
  struct Held {
    Client* client;
    std::vector<uint8_t> frame;
  };
  void run();
  bool read_from(Client& client);
  void take(Client& client, const uint8_t* frame, size_t bytes, bool is_released);
  void reply(Client& client, uint64_t correlation, const std::vector<uint8_t>& body, uint64_t data_offset, uint64_t data_size);
  bool write_to(Client& client);
  uint8_t* block_at(uint64_t offset, bool make);
  void copy_out(uint64_t offset, uint64_t size, uint8_t* to);
  void copy_in(uint64_t offset, uint64_t size, const uint8_t* from);
  void die(const std::string& why);

  const std::string path_;
  const uint64_t size_;
  const uint32_t block_;
  std::thread thread_;
  int listen_fd_ = -1;
  int wake_fd_ = -1;
  std::atomic<bool> stopping_{false}, cutting_{false}, releasing_{false};
  std::atomic<int> connections_{0};
  std::mutex lock_;  // guards what follows against the asking methods
  std::string crash_;
  std::map<std::string, uint64_t> counts_;
  std::map<int32_t, std::string> fds_;
  std::unordered_map<uint64_t, std::unique_ptr<uint8_t[]>> pieces_;
  std::vector<Held> held_;
  std::vector<std::unique_ptr<Client>> clients_;
  int32_t next_fd_ = 1;
  uint64_t count_ = 0;
};

}  // namespace cbd::test
