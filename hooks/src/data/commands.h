// Commands of `rbd` that move data: they run in the caller's process, with its rights, over librbd.
#pragma once

#include <rados/librados.h>

#include <string>
#include <vector>

namespace cbd::hooks {

using DataCommand = int (*)(rados_t cluster, const std::vector<std::string>& argv);

// The command that the words name ("export", "deep cp"), and in `rest` the words behind it; null where the daemon answers it.
DataCommand find_data_command(const std::vector<std::string>& words, std::vector<std::string>& rest);

// Each returns the exit code; failures are on standard error.
int run_import(rados_t cluster, const std::vector<std::string>& argv);
int run_export(rados_t cluster, const std::vector<std::string>& argv);
int run_export_diff(rados_t cluster, const std::vector<std::string>& argv);
int run_import_diff(rados_t cluster, const std::vector<std::string>& argv);
int run_diff(rados_t cluster, const std::vector<std::string>& argv);
int run_merge_diff(rados_t cluster, const std::vector<std::string>& argv);
int run_create_thick(rados_t cluster, const std::vector<std::string>& argv);
int run_deep_copy(rados_t cluster, const std::vector<std::string>& argv);
int run_bench(rados_t cluster, const std::vector<std::string>& argv);
int run_bench_write(rados_t cluster, const std::vector<std::string>& argv);
int run_watch(rados_t cluster, const std::vector<std::string>& argv);
int run_sparsify(rados_t cluster, const std::vector<std::string>& argv);
int run_copy(rados_t cluster, const std::vector<std::string>& argv);
int run_disk_usage(rados_t cluster, const std::vector<std::string>& argv);

}  // namespace cbd::hooks
