// cudasim_bugs NAME [right]: runs a planted bug or its correct twin. Without arguments: lists the names.
#include "bug.h"

int main(int count, char **arguments)
{
    if (count < 2) {
        for (const auto &entry : bugs())
            std::puts(entry.first.c_str());
        return 0;
    }
    const auto found = bugs().find(arguments[1]);
    if (found == bugs().end()) {
        std::fprintf(stderr, "no bug is named %s\n", arguments[1]);
        return 2;
    }
    const bool right = count > 2 && !std::strcmp(arguments[2], "right");
    (right ? found->second.right : found->second.wrong)();
    const cudaError_t error = cudaDeviceSynchronize();
    if (right && error) {
        std::fprintf(stderr, "the correct twin fails: %s\n", cudaGetErrorString(error));
        return 1;
    }
    return 0;
}
