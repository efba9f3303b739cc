if(TARGET cnnbn-bench)
  cnnbn_add_script_test(cli-bench test_bench.sh LABELS cli TIMEOUT 300)
endif()
cnnbn_add_script_test(cli-trace test_trace.sh LABELS cli TIMEOUT 300)
