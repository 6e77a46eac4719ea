#include <crypt.h>
#include <stdlib.h>
#include <string.h>

// crypt_rn works in memory of 32 KiB that holds the phrase and what is made of it: it comes from the heap, and is cleared.
// Returns 0 when there is no hash for that setting.
static inline int t4_crypt(const char *phrase, const char *setting, char output[CRYPT_OUTPUT_SIZE]) {
    struct crypt_data *data = calloc(1, sizeof(struct crypt_data));
    if (!data) return 0;
    const char *hash = crypt_rn(phrase, setting, data, (int)sizeof(struct crypt_data));
    int is_made = hash && hash[0] != '*';
    if (is_made) memcpy(output, hash, strnlen(hash, CRYPT_OUTPUT_SIZE - 1) + 1);
    explicit_bzero(data, sizeof(struct crypt_data));
    free(data);
    return is_made;
}
