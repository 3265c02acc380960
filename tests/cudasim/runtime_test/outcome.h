/** tests/cudasim/runtime_test/outcome.h: runs a program on the simulator. */
#ifndef CUDASIM_OUTCOME_H
#define CUDASIM_OUTCOME_H

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <string>

struct Outcome {
    int code = -1; /* of the exit; -1: ended by a signal */
    std::string output;
};

/** `settings` are NAME=VALUE for the environment. */
inline Outcome run_on_simulator(const std::string &settings, const std::string &command)
{
    const std::string line = "LD_LIBRARY_PATH=" CUDASIM_LIBRARIES " " + settings + " " + command + " 2>&1";
    Outcome outcome;
    FILE *pipe = popen(line.c_str(), "r");
    if (!pipe)
        return outcome;
    std::array<char, 4096> part;
    while (const size_t got = fread(part.data(), 1, part.size(), pipe))
        outcome.output.append(part.data(), got);
    const int status = pclose(pipe);
    outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
}

#endif
