// The convolutions of the networks that tests/cudnn asks for, as Keras defines them.
#pragma once

#include <cstdint>

struct Layer {
    const char *network, *name;
    int64_t size, c, f, kernel, stride; // size: rows and columns of the input
    bool same;                          // padding, else none
    int64_t groups = 1, dilation = 1;
};

static const Layer layers[] = {
    // ResNet-8 for CIFAR-10 (MLPerf Tiny)
    {"resnet8", "stem", 32, 3, 16, 3, 1, true},
    {"resnet8", "stack 1", 32, 16, 16, 3, 1, true},
    {"resnet8", "stack 2, first", 32, 16, 32, 3, 2, true},
    {"resnet8", "stack 2, second", 16, 32, 32, 3, 1, true},
    {"resnet8", "stack 2, shortcut", 32, 16, 32, 1, 2, true},
    {"resnet8", "stack 3, first", 16, 32, 64, 3, 2, true},
    {"resnet8", "stack 3, second", 8, 64, 64, 3, 1, true},
    {"resnet8", "stack 3, shortcut", 16, 32, 64, 1, 2, true},
    // MobileNet (Howard et al. 2017): with stride 2 the input is padded by one row and column at the end
    {"mobilenet", "conv1", 225, 3, 32, 3, 2, false},
    {"mobilenet", "conv_dw_1", 112, 32, 32, 3, 1, true, 32},
    {"mobilenet", "conv_pw_1", 112, 32, 64, 1, 1, true},
    {"mobilenet", "conv_dw_2", 113, 64, 64, 3, 2, false, 64},
    {"mobilenet", "conv_pw_2", 56, 64, 128, 1, 1, true},
    {"mobilenet", "conv_dw_3", 56, 128, 128, 3, 1, true, 128},
    {"mobilenet", "conv_pw_3", 56, 128, 128, 1, 1, true},
    {"mobilenet", "conv_dw_4", 57, 128, 128, 3, 2, false, 128},
    {"mobilenet", "conv_pw_4", 28, 128, 256, 1, 1, true},
    {"mobilenet", "conv_dw_5", 28, 256, 256, 3, 1, true, 256},
    {"mobilenet", "conv_pw_5", 28, 256, 256, 1, 1, true},
    {"mobilenet", "conv_dw_6", 29, 256, 256, 3, 2, false, 256},
    {"mobilenet", "conv_pw_6", 14, 256, 512, 1, 1, true},
    {"mobilenet", "conv_dw_7 to 11", 14, 512, 512, 3, 1, true, 512},
    {"mobilenet", "conv_pw_7 to 11", 14, 512, 512, 1, 1, true},
    {"mobilenet", "conv_dw_12", 15, 512, 512, 3, 2, false, 512},
    {"mobilenet", "conv_pw_12", 7, 512, 1024, 1, 1, true},
    {"mobilenet", "conv_dw_13", 7, 1024, 1024, 3, 1, true, 1024},
    {"mobilenet", "conv_pw_13", 7, 1024, 1024, 1, 1, true},
    {"mobilenet", "conv_preds", 1, 1024, 1000, 1, 1, true},
    // ResNet-50 (He et al. 2015; Keras' strides stand in the first 1x1 of a stack)
    {"resnet50", "conv1", 230, 3, 64, 7, 2, false},
    {"resnet50", "conv2_block1_1", 56, 64, 64, 1, 1, false},
    {"resnet50", "conv2_2", 56, 64, 64, 3, 1, true},
    {"resnet50", "conv2_3", 56, 64, 256, 1, 1, false},
    {"resnet50", "conv2_1", 56, 256, 64, 1, 1, false},
    {"resnet50", "conv3_block1_0", 56, 256, 512, 1, 2, false},
    {"resnet50", "conv3_block1_1", 56, 256, 128, 1, 2, false},
    {"resnet50", "conv3_2", 28, 128, 128, 3, 1, true},
    {"resnet50", "conv3_3", 28, 128, 512, 1, 1, false},
    {"resnet50", "conv3_1", 28, 512, 128, 1, 1, false},
    {"resnet50", "conv4_block1_0", 28, 512, 1024, 1, 2, false},
    {"resnet50", "conv4_block1_1", 28, 512, 256, 1, 2, false},
    {"resnet50", "conv4_2", 14, 256, 256, 3, 1, true},
    {"resnet50", "conv4_3", 14, 256, 1024, 1, 1, false},
    {"resnet50", "conv4_1", 14, 1024, 256, 1, 1, false},
    {"resnet50", "conv5_block1_0", 14, 1024, 2048, 1, 2, false},
    {"resnet50", "conv5_block1_1", 14, 1024, 512, 1, 2, false},
    {"resnet50", "conv5_2", 7, 512, 512, 3, 1, true},
    {"resnet50", "conv5_3", 7, 512, 2048, 1, 1, false},
    {"resnet50", "conv5_1", 7, 2048, 512, 1, 1, false},
    // What no network above has
    {"other", "unequal padding", 224, 3, 32, 3, 2, true},
    {"other", "odd channels", 28, 5, 7, 3, 1, true},
    {"other", "5x5, stride 3", 31, 6, 10, 5, 3, true},
    {"other", "windows leave a row", 28, 8, 8, 3, 2, false},
    {"other", "dilated", 28, 32, 32, 3, 1, true, 1, 2},
    {"other", "grouped", 28, 32, 64, 3, 1, true, 4},
    {"other", "one channel", 28, 1, 32, 3, 1, true},
};
