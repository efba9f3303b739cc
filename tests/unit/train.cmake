cnnbn_add_test(schedule SOURCES test_schedule.c USES train PRIVATE m
               ENV CNNBN_TEST_GOLDEN=${PROJECT_SOURCE_DIR}/tests/golden/recipes.txt)
target_include_directories(test_schedule PRIVATE ${PROJECT_SOURCE_DIR}/src/train)
cnnbn_add_test(mixup SOURCES test_mixup.c USES train PRIVATE m)
target_include_directories(test_mixup PRIVATE ${PROJECT_SOURCE_DIR}/src/train)
cnnbn_add_test(optimizer SOURCES test_optimizer.c USES nn PRIVATE cnnbn_test_net m LABELS net
               ENV CNNBN_TEST_GOLDEN=${PROJECT_SOURCE_DIR}/tests/golden/recipes.txt)
