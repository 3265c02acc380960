// cudasim_known NAME: runs a check; without arguments: lists the names.
#include "known.h"

int main(int count, char **arguments)
{
    if (count < 2) {
        for (const auto &entry : known())
            std::puts(entry.first.c_str());
        return 0;
    }
    const auto found = known().find(arguments[1]);
    if (found == known().end())
        return 2;
    found->second();
    must(cudaDeviceSynchronize());
    return 0;
}
