// From a script's objects to volumes and back to a promise.
#include "addon/layers.h"

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "addon/error.h"
#include "block/give_back.h"
#include "block/io_ring.h"
#include "block/layer_tools.h"
#include "block/volume_file.h"
#include "block/volume_nebd.h"

namespace cbd::addon {
namespace {

using block::LayerSpec;

constexpr double largest = 9007199254740991.0;  // 2^53 - 1

bool take_size(const Napi::Value& value, uint64_t& size) {
  if (!value.IsNumber()) return false;
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0) || number > largest || number != static_cast<double>(static_cast<uint64_t>(number)))
    return false;
  size = static_cast<uint64_t>(number);
  return true;
}

// {fd} (which stays the script's) or {nebd: {socket, file, size, blockSize}}. Null where it is neither;
// `error` says why.
std::shared_ptr<block::Device> take_volume(const Napi::Object& from, uint64_t bytes, int& error) {
  error = EINVAL;
  if (from.Has("fd")) {
    int fd = -1;
    if (!take_fd(from.Get("fd"), fd)) return error = EBADF, nullptr;
    UniqueFd own(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!own) return error = errno, nullptr;
    return std::make_shared<block::FileVolume>(std::move(own), bytes, std::make_shared<block::IoRing>());
  }
  if (!from.Get("nebd").IsObject()) return nullptr;
  const auto nebd = from.Get("nebd").As<Napi::Object>();
  block::NebdVolume::Options options;
  uint64_t block = 0;
  if (!nebd.Get("socket").IsString() || !nebd.Get("file").IsString()) return nullptr;
  if (!take_size(nebd.Get("size"), options.size)) return nullptr;
  if (nebd.Has("blockSize") && take_size(nebd.Get("blockSize"), block) && block)
    options.block = static_cast<uint32_t>(block);
  options.socket = nebd.Get("socket").As<Napi::String>();
  options.file = nebd.Get("file").As<Napi::String>();
  // The daemon made it unique, and must know it: what it leaves open when it is killed is closed by the next one.
  options.add_random = false;
  return std::make_shared<block::NebdVolume>(options);
}

// {kind, size, fd | nebd}; `at_least`: bytes of the image that must be addressed.
bool take_layer(const Napi::Value& value, uint64_t at_least, LayerSpec& spec, int& error) {
  error = EINVAL;
  if (!value.IsObject()) return false;
  const auto from = value.As<Napi::Object>();
  if (!from.Get("kind").IsString()) return false;
  const std::string kind = from.Get("kind").As<Napi::String>();
  if ((kind != "plain" && kind != "cow") || !take_size(from.Get("size"), spec.size)) return false;
  spec.is_cow = kind == "cow";
  const uint64_t bytes = std::max(spec.size, at_least);
  const uint64_t grain = block::layer::block_bytes;
  spec.volume = take_volume(
      from, spec.is_cow ? block::layer::data_offset + (bytes + grain - 1) / grain * grain : bytes, error);
  return spec.volume != nullptr;
}

// Runs `work` on one of libuv's threads; the promise ends with `result()`, or with an error that has `code`
// and `errno`.
class Job : public Napi::AsyncWorker {
 public:
  using Work = std::function<int(const block::ToolProgress&)>;

  Job(Napi::Env env, const char* name, const Napi::Value& on_progress, Work work)
      : Napi::AsyncWorker(env, name),
        name_(name),
        work_(std::move(work)),
        promise_(Napi::Promise::Deferred::New(env)) {
    if (on_progress.IsFunction()) {
      tell_ = Napi::ThreadSafeFunction::New(env, on_progress.As<Napi::Function>(), name, 0, 1);
      tells_ = true;
    }
  }
  Napi::Promise promise() const { return promise_.Promise(); }
  std::function<Napi::Value(Napi::Env)> result = [](Napi::Env env) { return env.Undefined(); };

  void Execute() override {
    rc_ = work_([this](uint64_t done, uint64_t total) { return report(done, total); });
  }
  void OnOK() override {
    auto settle = [promise = promise_, name = name_, rc = rc_, value = result](Napi::Env env) {
      if (rc == 0) return promise.Resolve(value(env));
      fail(env, name, -rc);
      promise.Reject(env.GetAndClearPendingException().Value());
    };
    if (!tells_) return settle(Env());
    // Behind the reports that are still on their way.
    tell_.NonBlockingCall([settle](Napi::Env env, Napi::Function) { settle(env); });
    tell_.Release();
  }

 private:
  // The script's answer comes later: a `false` counts from the next report on.
  int report(uint64_t done, uint64_t total) {
    if (!tells_) return 0;
    if (done == total || done - told_ >= 64u << 20 || told_ == 0) {
      told_ = std::max<uint64_t>(done, 1);
      auto cancelled = cancelled_;
      tell_.NonBlockingCall([cancelled, done, total](Napi::Env env, Napi::Function callback) {
        const Napi::Value answer = callback.Call({Napi::Number::New(env, static_cast<double>(done)),
                                                  Napi::Number::New(env, static_cast<double>(total))});
        if (!answer.IsEmpty() && answer.IsBoolean() && !answer.As<Napi::Boolean>().Value())
          cancelled->store(true);
      });
    }
    return cancelled_->load() ? -1 : 0;
  }

  const char* const name_;
  const Work work_;
  Napi::Promise::Deferred promise_;
  Napi::ThreadSafeFunction tell_;
  bool tells_ = false;
  std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  uint64_t told_ = 0;
  int rc_ = 0;
};

Napi::Value flatten_layers(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsObject()) return fail(env, "flattenLayers", EINVAL);
  const auto options = info[0].As<Napi::Object>();
  uint64_t length = 0;
  int error = EINVAL;
  if (!take_size(options.Get("length"), length) || !options.Get("layers").IsArray() ||
      !options.Get("target").IsObject()) {
    return fail(env, "flattenLayers", EINVAL);
  }
  const auto list = options.Get("layers").As<Napi::Array>();
  std::vector<LayerSpec> layers(list.Length());
  for (uint32_t i = 0; i < list.Length(); ++i) {
    layers[i].id = std::to_string(i);
    if (!take_layer(list.Get(i), 0, layers[i], error)) return fail(env, "flattenLayers", error);
  }
  auto target = take_volume(options.Get("target").As<Napi::Object>(), length, error);
  if (!target) return fail(env, "flattenLayers", error);
  auto* job = new Job(env, "flattenLayers", info.Length() > 1 ? info[1] : env.Undefined(),
                      [layers, target, length](const block::ToolProgress& progress) {
                        return block::flatten_layers(layers, length, *target, progress);
                      });
  Napi::Promise promise = job->promise();
  job->Queue();
  return promise;
}

Napi::Value merge_layer(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsObject()) return fail(env, "mergeLayer", EINVAL);
  const auto options = info[0].As<Napi::Object>();
  uint64_t length = 0, visible = 0;
  LayerSpec upper, lower;
  int error = EINVAL;
  if (!take_size(options.Get("length"), length) || !take_size(options.Get("visible"), visible)) {
    return fail(env, "mergeLayer", EINVAL);
  }
  if (!take_layer(options.Get("upper"), length, upper, error)) return fail(env, "mergeLayer", error);
  if (!take_layer(options.Get("lower"), length, lower, error)) return fail(env, "mergeLayer", error);
  auto* job = new Job(env, "mergeLayer", info.Length() > 1 ? info[1] : env.Undefined(),
                      [upper, lower, visible, length](const block::ToolProgress& progress) {
                        block::Layer above("upper", upper.is_cow, upper.volume),
                            below("lower", lower.is_cow, lower.volume);
                        return block::merge_layer(above, below, visible, length, progress);
                      });
  Napi::Promise promise = job->promise();
  job->Queue();
  return promise;
}

// [offset, length, offset, length, ...]
bool take_ranges(const Napi::Value& value, std::vector<block::ByteRange>& ranges) {
  if (!value.IsArray()) return false;
  const auto list = value.As<Napi::Array>();
  if (list.Length() % 2 != 0) return false;
  ranges.resize(list.Length() / 2);
  for (uint32_t i = 0; i < ranges.size(); ++i) {
    if (!take_size(list.Get(2 * i), ranges[i].offset) || !take_size(list.Get(2 * i + 1), ranges[i].length)) return false;
  }
  return true;
}

Napi::Value give_back_zeroes(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsObject()) return fail(env, "giveBackZeroes", EINVAL);
  const auto options = info[0].As<Napi::Object>();
  LayerSpec layer;
  std::vector<block::ByteRange> ranges;
  uint64_t grain = 0;
  int error = EINVAL;
  if (!take_size(options.Get("grain"), grain) || !take_ranges(options.Get("ranges"), ranges)) {
    return fail(env, "giveBackZeroes", EINVAL);
  }
  if (!take_layer(options.Get("layer"), 0, layer, error)) return fail(env, "giveBackZeroes", error);
  if (layer.is_cow) return fail(env, "giveBackZeroes", EINVAL);
  auto* job = new Job(env, "giveBackZeroes", env.Undefined(), [layer, ranges, grain](const block::ToolProgress&) {
    return block::give_back_zeroes(*layer.volume, ranges, grain);
  });
  Napi::Promise promise = job->promise();
  job->Queue();
  return promise;
}

Napi::Value layer_usage(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  LayerSpec cow;
  int error = EINVAL;
  if (info.Length() < 1 || !take_layer(info[0], 0, cow, error)) return fail(env, "layerUsage", error);
  auto bytes = std::make_shared<uint64_t>(0);
  auto* job = new Job(env, "layerUsage", env.Undefined(), [cow, bytes](const block::ToolProgress&) {
    block::Layer layer("", cow.is_cow, cow.volume);
    return block::measure_layer(layer, cow.size, *bytes);
  });
  job->result = [bytes](Napi::Env e) -> Napi::Value {
    auto object = Napi::Object::New(e);
    object.Set("dataBytes", Napi::Number::New(e, static_cast<double>(*bytes)));
    return object;
  };
  Napi::Promise promise = job->promise();
  job->Queue();
  return promise;
}

}  // namespace

void export_layers(Napi::Env env, Napi::Object exports) {
  exports.Set("flattenLayers", Napi::Function::New(env, flatten_layers, "flattenLayers"));
  exports.Set("mergeLayer", Napi::Function::New(env, merge_layer, "mergeLayer"));
  exports.Set("giveBackZeroes", Napi::Function::New(env, give_back_zeroes, "giveBackZeroes"));
  exports.Set("layerUsage", Napi::Function::New(env, layer_usage, "layerUsage"));
}

}  // namespace cbd::addon
