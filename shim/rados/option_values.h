// One function a type of option: whether a text is a value of it, and its plain form. All return whether it is.
#pragma once

#include <string>
#include <string_view>

namespace cbd::rados {

bool is_one_of(std::string_view word, std::string_view words_joined_by_commas);
bool normalize_boolean(std::string_view text, std::string& value);
bool normalize_integer(std::string_view text, std::string_view lowest, std::string_view highest, std::string& value);
bool normalize_unsigned(std::string_view text, std::string_view lowest, std::string_view highest, std::string& value);
bool normalize_size(std::string_view text, std::string_view lowest, std::string_view highest, std::string& value);
bool normalize_real(std::string_view text, std::string_view lowest, std::string_view highest, std::string& value);
bool normalize_seconds(std::string_view text, std::string& value);
bool normalize_milliseconds(std::string_view text, std::string& value);
bool normalize_address(std::string_view text, std::string& value);
bool normalize_uuid(std::string_view text, std::string& value);
// RBD feature names or their sum.
bool normalize_features(std::string_view text, std::string& value);
// "5" or "1/5": 0, -EINVAL or -ERANGE.
int normalize_debug(std::string_view text, std::string& value);
// What single options ask beyond their bounds.
bool is_valid_unsigned(std::string_view option, std::string_view value);

}  // namespace cbd::rados
