#include <curl/curl.h>

// Swift cannot call variadic functions. One typed function for each kind of argument; the name in parentheses keeps
// curl's type-checking macros out, which want a literal option.

static inline CURLcode t4_curl_set_long(CURL *handle, CURLoption option, long value) {
    return (curl_easy_setopt)(handle, option, value);
}

static inline CURLcode t4_curl_set_offset(CURL *handle, CURLoption option, curl_off_t value) {
    return (curl_easy_setopt)(handle, option, value);
}

// libcurl copies the text.
static inline CURLcode t4_curl_set_text(CURL *handle, CURLoption option, const char *value) {
    return (curl_easy_setopt)(handle, option, value);
}

static inline CURLcode t4_curl_set_pointer(CURL *handle, CURLoption option, void *value) {
    return (curl_easy_setopt)(handle, option, value);
}

typedef size_t (*t4_curl_data_callback)(char *bytes, size_t size, size_t count, void *context);

// For the write, header and read functions, which have one shape.
static inline CURLcode t4_curl_set_data_callback(CURL *handle, CURLoption option, t4_curl_data_callback callback) {
    return (curl_easy_setopt)(handle, option, callback);
}

typedef int (*t4_curl_seek_callback)(void *context, curl_off_t offset, int origin);

static inline CURLcode t4_curl_set_seek_callback(CURL *handle, t4_curl_seek_callback callback) {
    return (curl_easy_setopt)(handle, CURLOPT_SEEKFUNCTION, callback);
}

static inline CURLcode t4_curl_get_long(CURL *handle, CURLINFO info, long *value) {
    return (curl_easy_getinfo)(handle, info, value);
}

static inline CURLMcode t4_curl_multi_set_long(CURLM *handle, CURLMoption option, long value) {
    return (curl_multi_setopt)(handle, option, value);
}
