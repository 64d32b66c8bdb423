// rbd diff and du: what holds data, from maps alone.
#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "data/commands.h"
#include "data/document.h"
#include "data/extents.h"
#include "data/image.h"

namespace cbd::hooks {
namespace {

const std::vector<Option> diff_options = {{"pool", 'p'}, {"namespace"}, {"image"}, {"snap"}, {"from-snap"}, {"whole-object", 0, true}, {"format"}, {"pretty-format", 0, true}};
const std::vector<Option> usage_options = {{"pool", 'p'}, {"namespace"}, {"image"}, {"snap"}, {"from-snap"}, {"exact", 0, true}, {"merge-snapshots", 0, true}, {"format"}, {"pretty-format", 0, true}};

// Columns as wide as their widest cell; `right` are those whose cells stand at the right.
void print_table(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right) {
  std::vector<size_t> widths(right.size(), 0);
  for (const auto& row : rows) {
    for (size_t at = 0; at < row.size(); ++at) widths[at] = std::max(widths[at], row[at].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t at = 0; at < row.size(); ++at) {
      std::string pad(widths[at] - row[at].size(), ' ');
      bool from_right = right[at] && &row != &rows.front();
      line += (at > 0 ? "  " : "") + (from_right ? pad + row[at] : row[at] + pad);
    }
    puts(line.c_str());
  }
}

struct Usage {
  std::string image, id;
  Snap snap;  // its name is "" for the head
  uint64_t provisioned = 0;
  uint64_t used = 0;
};

// Bytes that changed between `from` ("": nothing) and `snap` ("": the head).
uint64_t used_since(const Pool& pool, const std::string& name, const std::string& from, const std::string& snap, bool exact) {
  Image image(pool, name, snap, true);
  std::vector<Extent> extents;
  if (int result = list_extents(image, from, false, extents, !exact); result < 0) throw failure("du failed", result);
  uint64_t sum = 0;
  for (const Extent& extent : extents) {
    if (extent.exists) sum += extent.length;
  }
  return std::min(sum, image.size());
}

Failure no_snapshot() { return Failure{ENOENT, "specified snapshot is not found.\n" + failure("du failed", -ENOENT).text}; }

void add_usage(const Pool& pool, const std::string& name, const Spec& spec, const Words& words, std::vector<Usage>& out) {
  bool exact = words.has("exact");
  std::vector<Snap> snaps;
  uint64_t size = 0;
  char id[256] = "";
  {
    Image image(pool, name, "", true);
    size = image.size();
    snaps = image.snaps();
    rbd_get_id(image.handle(), id, sizeof(id));
    if ((image.shape().features & RBD_FEATURE_FAST_DIFF) == 0) {
      fprintf(stderr, "warning: fast-diff map is not enabled for %s. operation may be slow.\n", name.c_str());
    }
  }
  std::string before = words.text("from-snap").value_or("");
  const bool has_before = before.empty() || std::any_of(snaps.begin(), snaps.end(), [&](const Snap& snap) { return snap.name == before; });
  if (!has_before) throw no_snapshot();
  for (const Snap& snap : words.has("merge-snapshots") ? std::vector<Snap>{} : snaps) {
    if (!spec.snap.empty() && snap.name != spec.snap) {
      before = snap.name;
      continue;
    }
    out.push_back({name, id, snap, snap.size, used_since(pool, name, before, snap.name, exact)});
    before = snap.name;
    if (!spec.snap.empty()) return;
  }
  if (!spec.snap.empty()) throw no_snapshot();
  out.push_back(Usage{name, id, Snap{}, size, used_since(pool, name, words.has("merge-snapshots") ? "" : before, "", exact)});
}

std::vector<std::string> names_in(const Pool& pool) {
  std::vector<rbd_image_spec_t> specs(1024);
  size_t room = specs.size();
  int result = rbd_list2(pool.ioctx(), specs.data(), &room);
  if (result == -ERANGE) {
    specs.resize(room);
    result = rbd_list2(pool.ioctx(), specs.data(), &room);
  }
  if (result < 0) throw failure("du failed", result);
  std::vector<std::string> list;
  for (size_t at = 0; at < room; ++at) list.emplace_back(specs[at].name);
  rbd_image_spec_list_cleanup(specs.data(), room);
  return list;
}

void print_usage(const Words& words, const std::vector<Usage>& rows, bool is_pool, bool json) {
  uint64_t provisioned = 0, used = 0;
  for (const Usage& row : rows) {
    if (row.snap.name.empty()) provisioned += row.provisioned;
    used += row.used;
  }
  if (json) {
    Json images = Json::array();
    for (const Usage& row : rows) {
      Json one{{"name", row.image}, {"id", row.id}};
      if (!row.snap.name.empty()) {
        one["snapshot"] = row.snap.name;
        one["snapshot_id"] = row.snap.id;
      }
      one["provisioned_size"] = row.provisioned;
      one["used_size"] = row.used;
      images.push_back(one);
    }
    Json all{{"images", images}};
    if (is_pool) {
      all["total_provisioned_size"] = provisioned;
      all["total_used_size"] = used;
    }
    return print_data(words, "stats", all);
  }
  if (rows.empty()) return;
  std::vector<std::vector<std::string>> table{{"NAME", "PROVISIONED", "USED"}};
  for (const Usage& row : rows) {
    table.push_back({row.snap.name.empty() ? row.image : row.image + "@" + row.snap.name, show_bytes(row.provisioned), show_bytes(row.used)});
  }
  if (rows.size() > 1) table.push_back({"<TOTAL>", show_bytes(provisioned), show_bytes(used)});
  print_table(table, {false, true, true});
}

}  // namespace

int run_diff(rados_t cluster, const std::vector<std::string>& argv) {
  Words words(diff_options, argv, 1);
  bool json = wants_data(words);
  Spec spec = image_spec(words, 0, true);
  Pool pool(cluster, spec.pool, spec.name_space);
  Image image(pool, spec.image, spec.snap, true);
  std::vector<Extent> extents;
  int result = list_extents(image, words.text("from-snap").value_or(""), true, extents, words.has("whole-object"));
  extents = split_at(extents, image.object_size());
  if (json) {
    Json list = Json::array();
    for (const Extent& extent : extents) list.push_back(Json{{"offset", extent.offset}, {"length", extent.length}, {"exists", extent.exists ? "true" : "false"}});
    print_data(words, "extents", list);
  } else if (!extents.empty()) {
    std::vector<std::vector<std::string>> table{{"Offset", "Length", "Type"}};
    for (const Extent& extent : extents) table.push_back({std::to_string(extent.offset), std::to_string(extent.length), extent.exists ? "data" : "zero"});
    print_table(table, {false, false, false});
  }
  if (result < 0) throw failure("diff error", result);
  return 0;
}

int run_disk_usage(rados_t cluster, const std::vector<std::string>& argv) {
  Words words(usage_options, argv, 1);
  bool json = wants_data(words);
  Spec spec;
  if (auto word = words.word(0)) spec = parse_spec(*word);
  if (spec.pool.empty()) spec.pool = words.text("pool").value_or("rbd");
  if (spec.name_space.empty()) spec.name_space = words.text("namespace").value_or("");
  if (spec.image.empty()) spec.image = words.text("image").value_or("");
  if (spec.snap.empty()) spec.snap = words.text("snap").value_or("");
  Pool pool(cluster, spec.pool, spec.name_space);
  std::vector<std::string> names = names_in(pool);
  std::vector<Usage> rows;
  if (spec.image.empty()) {
    for (const std::string& name : names) add_usage(pool, name, spec, words, rows);
  } else if (std::find(names.begin(), names.end(), spec.image) == names.end()) {
    throw Failure{ENOENT, "specified image " + spec.image + " is not found.\n" + failure("du failed", -ENOENT).text};
  } else {
    add_usage(pool, spec.image, spec, words, rows);
  }
  print_usage(words, rows, spec.image.empty(), json);
  return 0;
}

}  // namespace cbd::hooks
