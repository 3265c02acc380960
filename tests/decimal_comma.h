// A language whose numbers have a comma, compiled for the test from the sources in Debian's `locales` (tools/setup
// installs it).
#ifndef TESTS_DECIMAL_COMMA_H
#define TESTS_DECIMAL_COMMA_H

#include <clocale>
#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <unistd.h>

// Speaks it until the end of the scope; `spoken` is false where there is no such language.
struct DecimalComma {
    std::string folder = testing::TempDir() + "engram-locale-" + std::to_string(getpid());
    bool spoken = false;
    DecimalComma()
    {
        const std::string make =
            "mkdir -p '" + folder + "' && localedef -i de_DE -f UTF-8 '" + folder + "/de_DE.UTF-8' >/dev/null 2>&1";
        spoken = std::system(make.c_str()) == 0 && setenv("LOCPATH", folder.c_str(), 1) == 0 &&
                 setlocale(LC_ALL, "de_DE.UTF-8") && strcmp(localeconv()->decimal_point, ",") == 0;
    }
    ~DecimalComma()
    {
        setlocale(LC_ALL, "C");
        unsetenv("LOCPATH");
        (void)!std::system(("rm -rf '" + folder + "'").c_str());
    }
};

#endif
