// A pool on a real Ceph, as far as librbd's side of the way there knows one.
#pragma once

#include <pthread.h>

#include <atomic>
#include <memory>
#include <string>

#include "rados/handles.h"

class PoolThere : public cbd::ceph::Pool {
 public:
  void* ioctx() override { return this; }
  void set_namespace(const char*) override {}
  unsigned generation() const override { return generation_; }
  void fork() { generation_++; }
  ~PoolThere() override {
    char name[16] = "";
    pthread_getname_np(pthread_self(), name, sizeof name);
    if (gone_on != nullptr) *gone_on = name;
  }
  std::string* gone_on = nullptr;  // where it says, by its name, which thread ended it

 private:
  std::atomic<unsigned> generation_{0};
};

struct Place {
  std::shared_ptr<PoolThere> pool = std::make_shared<PoolThere>();
  cbd::rados::IoCtx io;
  Place() { io.ceph = pool; }
};
