/* How this library was built and which of its compiled copies runs here. */
#include "trace.h"

#define FT_TEXT_OF(...) #__VA_ARGS__
#define FT_TEXT(...) FT_TEXT_OF(__VA_ARGS__)

FT_API int32_t ft_abi_version(void) { return FT_ABI_VERSION; }

FT_API const char *ft_compiler(void) {
#if defined(__clang__)
    return __VERSION__; /* begins with the name */
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#elif defined(_MSC_VER)
    return "MSVC " FT_TEXT(_MSC_VER);
#else
    return "unknown";
#endif
}

FT_API const char *ft_cpu_level(void) {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
    const int has_clones = sizeof FT_TEXT(FT_CLONES) > sizeof "";
    __builtin_cpu_init();
    if (has_clones && __builtin_cpu_supports("x86-64-v4")) return "x86-64-v4";
    if (has_clones && __builtin_cpu_supports("x86-64-v3")) return "x86-64-v3";
#endif
    return "default";
}
