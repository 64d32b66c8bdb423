#include "rados/object_iterators.h"

#include "abi/ceph_api.h"
#include "control/proof.h"

namespace cbd::rados {

std::vector<std::pair<std::string, std::string>> read_pairs(const nlohmann::json& list, bool hex_names) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& item : list) {
    std::string name = item.at(0).get<std::string>(), value;
    if (hex_names) {
      std::string plain;
      control::from_hex(name, plain);
      name = std::move(plain);
    }
    control::from_base64(item.at(1).get_ref<const std::string&>(), value);
    pairs.emplace_back(std::move(name), std::move(value));
  }
  return pairs;
}

}  // namespace cbd::rados

using cbd::rados::PairIterator;

namespace {

PairIterator* from(void* handle) { return static_cast<PairIterator*>(handle); }

}  // namespace

extern "C" {

// At the end everything is null and 0.
int rados_getxattrs_next(rados_xattrs_iter_t iterator, const char** name, const char** value, size_t* length) {
  PairIterator* it = from(iterator);
  bool over = it->next == it->pairs.size();
  auto* pair = over ? nullptr : &it->pairs[it->next++];
  *name = over ? nullptr : pair->first.c_str();
  *value = over ? nullptr : pair->second.data();
  *length = over ? 0 : pair->second.size();
  return 0;
}

void rados_getxattrs_end(rados_xattrs_iter_t iterator) { delete from(iterator); }

int rados_omap_get_next2(rados_omap_iter_t iterator, char** key, char** value, size_t* key_length, size_t* length) {
  PairIterator* it = from(iterator);
  bool over = it->next == it->pairs.size();
  auto* pair = over ? nullptr : &it->pairs[it->next++];
  if (key != nullptr) *key = over ? nullptr : pair->first.data();
  if (value != nullptr) *value = over ? nullptr : pair->second.data();
  if (key_length != nullptr) *key_length = over ? 0 : pair->first.size();
  if (length != nullptr) *length = over ? 0 : pair->second.size();
  return 0;
}

int rados_omap_get_next(rados_omap_iter_t iterator, char** key, char** value, size_t* length) {
  return rados_omap_get_next2(iterator, key, value, nullptr, length);
}

unsigned rados_omap_iter_size(rados_omap_iter_t iterator) { return static_cast<unsigned>(from(iterator)->pairs.size()); }

void rados_omap_get_end(rados_omap_iter_t iterator) { delete from(iterator); }

}  // extern "C"
