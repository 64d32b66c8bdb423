// Flushes: the order of writes that docs/layers.md promises. Flushes that come while one runs share the next.
#include <errno.h>

#include <cstdlib>

#include "block/chain_state.h"

namespace cbd::block {

void Chain::State::flush(Request& request) {
  std::unique_ptr<WriteBack> fresh;
  {
    std::lock_guard<std::mutex> guard(lock);
    if (writes_back) {
      flushes.push_back(&request);
      return;
    }
    fresh = begin_write_back({&request});
  }
  fresh->may_block = request.may_block;
  fresh.release()->drive();  // it deletes itself
}

std::unique_ptr<Chain::WriteBack> Chain::State::begin_write_back(std::vector<Request*> group) {
  writes_back = true;
  auto fresh = std::make_unique<WriteBack>();
  fresh->state = this;
  fresh->group = std::move(group);
  // Without leave to write there is nothing that is not on disk: it was flushed before the leave was given
  // up.
  if (leave == Leave::write && set->has_head()) {
    fresh->layer = set->items[0].layer;
    // Taken before the data is flushed: each mark stands for data that has been written already.
    fresh->images = fresh->layer->map.take_dirty();
  }
  return fresh;
}

Chain::WriteBack::~WriteBack() {
  std::free(header);
}

// Sends one request after the other; loops where they end at once, so that the stack does not grow.
void Chain::WriteBack::drive() {
  while (result == 0 && layer && prepare()) {
    inner.may_block = may_block;
    inner.context = this;
    inner.done = [](Request* self, int rc) {
      auto* w = static_cast<WriteBack*>(self->context);
      w->result = rc;
      if (w->mark.exchange(1) == 1) w->drive();  // submit() has returned; else its caller goes on
    };
    mark = 0;
    layer->volume->submit(inner);
    if (mark.exchange(1) == 0) return;
  }
  end();
}

// The next request into `inner`; false when all is done.
bool Chain::WriteBack::prepare() {
  auto flush_then = [this](Phase after) {
    inner.op = Op::flush;
    inner.offset = inner.length = 0;
    inner.iovcnt = 0;
    phase = after;
    return true;
  };
  auto write_header = [this](int copy, Phase after) {
    if (!header) {
      void* memory = nullptr;
      if (posix_memalign(&memory, 4096, layer::header_bytes) != 0) {
        result = -ENOMEM;
        return false;
      }
      header = static_cast<std::byte*>(memory);
      layer::encode_header(header);
    }
    iov.assign(1, {header, layer::header_bytes});
    inner.op = Op::write;
    inner.offset = layer::header_offsets[copy];
    inner.length = layer::header_bytes;
    inner.iov = iov.data();
    inner.iovcnt = 1;
    phase = after;
    return true;
  };
  switch (phase) {
    case Phase::data:
      return flush_then(images.empty()      ? Phase::last_flush
                        : layer->has_header ? Phase::pages
                                            : Phase::first_header);
    case Phase::first_header:
      return write_header(0, Phase::first_flush);
    case Phase::first_flush:
      return flush_then(Phase::second_header);
    case Phase::second_header:
      return write_header(1, Phase::second_flush);
    case Phase::second_flush:
      return flush_then(Phase::pages);
    case Phase::pages: {
      if (next_image == images.size()) return flush_then(Phase::last_flush);
      // Neighbours go in one write.
      const uint64_t first = images[next_image].page;
      iov.clear();
      while (next_image < images.size() && images[next_image].page == first + iov.size() &&
             iov.size() < 256) {
        iov.push_back({images[next_image].bytes.data(), layer::page_bytes});
        ++next_image;
      }
      inner.op = Op::write;
      inner.offset = layer::map_offset + first * layer::page_bytes;
      inner.length = iov.size() * layer::page_bytes;
      inner.iov = iov.data();
      inner.iovcnt = static_cast<int>(iov.size());
      return true;
    }
    case Phase::last_flush:
      return false;
  }
  return false;
}

void Chain::WriteBack::end() {
  std::unique_ptr<WriteBack> self(this), following;
  {
    std::lock_guard<std::mutex> guard(state->lock);
    if (layer && result) layer->map.put_back(images);
    if (layer && header && result == 0) layer->has_header = true;
    state->writes_back = false;
    if (!state->flushes.empty()) {
      following = state->begin_write_back(std::move(state->flushes));
      state->flushes.clear();
    }
  }
  for (Request* request : group) request->done(request, result);
  // Those that wait still are in flight, so the chain is still there.
  if (following) following.release()->drive();
}

}  // namespace cbd::block
