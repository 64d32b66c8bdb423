// Locks on ranges of a device, shared or exclusive, first come first served. Blocks nobody: a holder that has
// to wait is handed back later. Not a lock for threads: its owner guards it with one.
#pragma once

#include <cstdint>

namespace cbd::block {

// One range, while it is held or waited for; lies in its owner's own object.
struct RangeHold {
  uint64_t begin = 0;
  uint64_t end = 0;
  bool exclusive = false;
  RangeHold* previous = nullptr;
  RangeHold* next = nullptr;
};

class RangeLock {
 public:
  // True: held from now on. False: it waits, behind all that came before it and overlap.
  bool acquire(RangeHold& hold) {
    if (conflicts(held_, nullptr, hold) || conflicts(waiting_, nullptr, hold)) {
      append(waiting_, hold);
      return false;
    }
    append(held_, hold);
    return true;
  }

  // Gives a held range back and calls `granted(RangeHold&)` for each that is held now instead, in order of
  // arrival.
  template <class Granted>
  void release(RangeHold& hold, Granted granted) {
    remove(held_, hold);
    for (RangeHold* w = waiting_.head; w;) {
      RangeHold* following = w->next;
      if (overlaps(*w, hold) && !conflicts(held_, nullptr, *w) && !conflicts(waiting_, w, *w)) {
        remove(waiting_, *w);
        append(held_, *w);
        granted(*w);
      }
      w = following;
    }
  }

  bool is_idle() const { return !held_.head && !waiting_.head; }

 private:
  struct List {
    RangeHold* head = nullptr;
    RangeHold* tail = nullptr;
  };

  static bool overlaps(const RangeHold& a, const RangeHold& b) { return a.begin < b.end && b.begin < a.end; }

  // Whether `hold` must wait for one of the list's members before `until` (null: all).
  static bool conflicts(const List& list, const RangeHold* until, const RangeHold& hold) {
    for (const RangeHold* h = list.head; h != until; h = h->next) {
      if ((h->exclusive || hold.exclusive) && overlaps(*h, hold)) return true;
    }
    return false;
  }
  static void append(List& list, RangeHold& hold) {
    hold.previous = list.tail;
    hold.next = nullptr;
    (list.tail ? list.tail->next : list.head) = &hold;
    list.tail = &hold;
  }
  static void remove(List& list, RangeHold& hold) {
    (hold.previous ? hold.previous->next : list.head) = hold.next;
    (hold.next ? hold.next->previous : list.tail) = hold.previous;
  }

  List held_;
  List waiting_;
};

}  // namespace cbd::block
