// The C functions that list the rbd_* options as they hold for an image or a pool, each with where its value comes from.
#include <cerrno>
#include <nlohmann/json.hpp>

#include "rbd/buffers.h"
#include "rbd/config_options.h"
#include "rbd/guard.h"
#include "rbd/image.h"
#include "rbd/operation.h"

namespace cbd::rbd {

namespace {

struct Setting {
  std::string name, value;
  rbd_config_source_t source;
};

// Hands the settings out. -ERANGE with their number in *room where that is too small.
int give(const std::vector<Setting>& settings, rbd_config_option_t* out, int* room) {
  const int count = static_cast<int>(settings.size());
  const bool fits = *room >= count;
  *room = count;
  if (!fits) return -ERANGE;
  if (out == nullptr) return -EINVAL;
  for (int i = 0; i < count; i++) {
    out[i] = {duplicate(settings[i].name), duplicate(settings[i].value), settings[i].source};
  }
  return 0;
}

using Texts = std::map<std::string, std::string>;

Setting setting(const control::Client& client, const char* name, const Texts& of_image, const Texts& of_pool) {
  auto own = of_image.find(std::string("conf_") + name);
  if (own != of_image.end()) return {name, own->second, RBD_CONFIG_SOURCE_IMAGE};
  auto pools = of_pool.find(name);
  if (pools != of_pool.end()) return {name, pools->second, RBD_CONFIG_SOURCE_POOL};
  std::string value;
  client.config(name, value);
  return {name, value, RBD_CONFIG_SOURCE_CONFIG};
}

void cleanup(rbd_config_option_t* options, int count) {
  for (int i = 0; i < count; i++) {
    free(options[i].name);
    free(options[i].value);
  }
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

int rbd_config_image_list(rbd_image_t image, rbd_config_option_t* options, int* max_options) {
  return guarded([&] {
    clear(options, max_options);
    if (image == nullptr || max_options == nullptr) return -EINVAL;
    const Image& open = *Image::from(image);
    auto state = open.state();
    std::vector<Setting> settings;
    for (const ConfigOption& option : kConfigOptions) {
      if (!option.is_of_images) continue;
      settings.push_back(setting(*open.at().client, option.name, state->metadata, state->pool_config));
    }
    return give(settings, options, max_options);
  });
}

void rbd_config_image_list_cleanup(rbd_config_option_t* options, int max_options) { cleanup(options, max_options); }

int rbd_config_pool_list(rados_ioctx_t io_ctx, rbd_config_option_t* options, int* max_options) {
  return guarded([&] {
    clear(options, max_options);
    if (io_ctx == nullptr || max_options == nullptr) return -EINVAL;
    const cbd::rados::IoCtx& at = *ioctx(io_ctx);
    Reply reply = at.client->call("pool.config.list", {{"pool", at.pool_id}});
    if (reply.error != 0) return reply.error;
    Texts of_pool;
    for (const Json& entry : reply.result->at("entries")) {
      if (entry.value("source", "pool") != "pool") continue;
      of_pool[entry.at("name").get<std::string>()] = entry.at("value").get<std::string>();
    }
    std::vector<Setting> settings;
    for (const ConfigOption& option : kConfigOptions) {
      settings.push_back(setting(*at.client, option.name, {}, of_pool));
    }
    return give(settings, options, max_options);
  });
}

void rbd_config_pool_list_cleanup(rbd_config_option_t* options, int max_options) { cleanup(options, max_options); }

}  // extern "C"
