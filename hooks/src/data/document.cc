#include "data/document.h"

#include <cstdio>
#include <nlohmann/json.hpp>

namespace cbd::hooks {
namespace {

std::string escaped(const std::string& text) {
  std::string out;
  for (char one : text) {
    switch (one) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '\'': out += "&apos;"; break;
      case '"': out += "&quot;"; break;
      default: out += one;
    }
  }
  return out;
}

// `depth` < 0: all in one line.
void put_xml(std::string& out, const std::string& name, const Json& data, int depth) {
  const std::string indent = depth < 0 ? "" : std::string(static_cast<size_t>(depth), ' ');
  const char* end = depth < 0 ? "" : "\n";
  out += indent + "<" + name + ">";
  if (data.is_structured()) {
    out += end;
    const std::string item = name.substr(0, name.size() - 1);
    for (const auto& one : data.items()) put_xml(out, data.is_array() ? item : one.key(), one.value(), depth < 0 ? -1 : depth + 1);
    out += indent;
  } else {
    out += data.is_string() ? escaped(data.get_ref<const std::string&>()) : data.dump();
  }
  out += "</" + name + ">" + end;
}

}  // namespace

bool wants_data(const Words& words) {
  const std::string format = words.text("format").value_or("plain");
  if (format == "plain" && words.has("pretty-format")) throw Failure{22, "rbd: --pretty-format only works when --format is json or xml\n"};
  if (format == "plain" || format == "json" || format == "xml") return format != "plain";
  throw Failure{1, "rbd: the argument for option '--format' is invalid\n"};
}

void print_data(const Words& words, const char* root, const Json& data) {
  const bool is_pretty = words.has("pretty-format");
  if (words.text("format") == "json") {
    puts(data.dump(is_pretty ? 4 : -1, ' ', false, Json::error_handler_t::replace).c_str());
    return;
  }
  std::string text;
  put_xml(text, root, data, is_pretty ? 0 : -1);
  puts(text.c_str());
}

}  // namespace cbd::hooks
